"""Python environments through the adapter beside a plain loop and Gymnasium's own vectors: environment steps a second.

    python benchmarks/adapters.py [--env CartPole-v1] [--envs 64] [--steps 128] [--workers 0 2]

Random actions, medians of interleaved repetitions. "through the adapter" is what training pays: the compiled scan, the
callback, flattening, same-step resets with final observations. Beside other work compare the CPU times: they do not
wait.
"""

import argparse
import statistics
import time

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from throughtime.envs import VectorEnvironment, make


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--env", default="CartPole-v1")
    parser.add_argument("--envs", type=int, default=64)
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 2])
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--peers", action="store_true", help="gymnasium's vectors too")
    options = parser.parse_args()
    if options.env.startswith("MiniGrid"):
        import minigrid  # noqa: F401  registers its environments
    contenders = {"plain Python loop": plain(options)}
    if options.peers:
        contenders["gymnasium, sync"] = peer(options, "sync")
        contenders["gymnasium, async (a process each)"] = peer(options, "async")
    for workers in options.workers:
        contenders[f"through the adapter, workers = {workers}"] = adapter(options, workers)
    seconds, processor = {name: [] for name in contenders}, {name: [] for name in contenders}
    for run in contenders.values():
        run()
    for _ in range(options.repetitions):
        for name, run in contenders.items():
            begin, used = time.perf_counter(), time.process_time()
            run()
            seconds[name].append(time.perf_counter() - begin)
            processor[name].append(time.process_time() - used)
    print(f"{options.env}, {options.envs} environments, {options.steps} steps each")
    for name, times in seconds.items():
        count = options.envs * options.steps
        cpu = 1e6 * statistics.median(processor[name]) / count
        print(
            f"{name:36} {count / statistics.median(times):>9,.0f} steps/s {cpu:>7.1f} µs of this process's CPU a step"
        )


def plain(options):
    """A Python loop over the environments, with resets; what each environment gives is thrown away."""
    envs = [gymnasium.make(options.env) for _ in range(options.envs)]
    for i, env in enumerate(envs):
        env.reset(seed=i)
    actions = _actions(envs[0].action_space, options)

    def run():
        for row in actions:
            for env, action in zip(envs, row, strict=True):
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    env.reset()

    return run


def peer(options, mode):
    """Gymnasium's own vector environment."""
    envs = gymnasium.make_vec(options.env, options.envs, vectorization_mode=mode)
    envs.reset(seed=0)
    actions = _actions(envs.single_action_space, options)

    def run():
        for row in actions:
            envs.step(row)

    return run


def adapter(options, workers):
    """The compiled scan of training, without the network."""
    kind = "minigrid" if options.env.startswith("MiniGrid") else "gym"
    env = make(f"{kind}:{options.env}", workers=workers)
    vector = VectorEnvironment(env, options.envs)
    actions = jnp.asarray(_actions(gymnasium.make(options.env).action_space, options))
    if jnp.issubdtype(actions.dtype, jnp.integer):
        actions = actions.astype(jnp.int32)
    held = [vector.reset(jax.random.key(0))[1]]

    @jax.jit
    def scan(state):
        def body(state, action):
            step = vector.step(jax.random.key(0), state, action)
            return step.state, jnp.sum(step.obs) + jnp.sum(step.reward)

        return jax.lax.scan(body, state, actions)

    def run():
        held[0], sums = scan(held[0])
        jax.block_until_ready(sums)

    return run


def _actions(space, options):
    space.seed(0)
    return np.stack([[space.sample() for _ in range(options.envs)] for _ in range(options.steps)])


if __name__ == "__main__":
    main()
