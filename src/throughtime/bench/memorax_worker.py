"""memorax's recurrent PPO on the work of `throughtime.bench.ppo`, in an interpreter of its own: one iteration per call.

    python memorax_worker.py [--width 64] [--cell gru]            # one JSON line on stdout
    python memorax_worker.py --serve [--width 64] [--cell gru]    # a worker, see below

Positions-only CartPole (gymnax), Dense W tanh → GRU W → linear head, BPTT over whole rollouts. memorax keeps actor and
critic apart, so this network is there twice; see DIFFERENCES.

With --serve, the first line on stdout is a JSON object (versions, differences, compile_seconds), once compiled; then
each line read from stdin runs one iteration and prints its seconds as a line on stdout, until EOF. The first one warms
up.

Install, in an environment of its own: pip install "jax==0.10.2" memorax==1.0.1 gymnax==0.0.9
(memorax 1.0.1 unpacks five values from `env.step`; gymnax 1.x returns six.) Nothing of throughtime is imported here:
that environment need not have it.
"""
# pyright: basic, reportMissingImports=false, reportIncompatibleMethodOverride=false

import argparse
import json
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from memorax.algorithms import PPO, PPOConfig
from memorax.environments import environment
from memorax.networks import MLP, RNN, FeatureExtractor, Network, heads
from memorax.utils.wrappers import GymnaxWrapper

PACKAGES = ("memorax", "jax", "jaxlib", "flax", "optax", "distrax", "gymnax")
CELLS = {"gru": nn.GRUCell, "lstm": nn.OptimizedLSTMCell}

DIFFERENCES = [
    "actor and critic are separate networks (Dense, memory and head each) with an Adam each: two unrolls and two "
    "backward passes per minibatch and two forward passes per environment step. memorax has no shared trunk; "
    "throughtime's equal is NetworkConfig(separate_critic=True)",
    "the actor and the critic gradient are clipped apart, each to global norm 0.5",
    "advantages are standardised once over the whole batch, not in each minibatch",
    "episodes cut off at 500 steps count as terminated (gymnax 0.0.9 and memorax merge both): no value of the final "
    "observation",
    "flax's GRUCell is six Dense layers (one per gate for input and for state; OptimizedLSTMCell joins them), all "
    "inside the scan, step by step; throughtime joins the gates and multiplies the inputs of all steps before the scan",
    "arrays are batch-major [env, time]; memorax's scan is over axis 1",
    "constant learning rate; no preflight, no guard against bad gradients",
    "lecun-normal Dense and head initialisation, flax's defaults in the cell",
    "train also returns the transitions of the iteration (actions, rewards, dones, values, losses); not read here",
]


class NoVelocities(GymnaxWrapper):
    """Velocities times zero; memorax's own MaskObservationWrapper drops the entries instead (2 observations)."""

    def _mask(self, observation: jax.Array) -> jax.Array:
        return observation * jnp.array([1, 0, 1, 0], observation.dtype)

    def reset(self, key, params=None):
        """As the environment's, masked."""
        observation, state = self._env.reset(key, params)
        return self._mask(observation), state

    def step(self, key, state, action, params=None):
        """As the environment's, masked."""
        observation, *rest = self._env.step(key, state, action, params)
        return self._mask(observation), *rest


def make_agent(args: argparse.Namespace) -> PPO:
    """PPO of memorax with the sizes that were asked for."""
    env, params = environment.make("gymnax::CartPole-v1")
    config = PPOConfig(
        name="ppo",
        num_envs=args.envs,
        num_eval_envs=args.envs,
        num_steps=args.steps,
        gamma=0.99,
        gae_lambda=0.95,
        num_minibatches=args.minibatches,
        update_epochs=args.epochs,
        normalize_advantage=True,
        clip_coef=0.2,
        clip_vloss=False,
        ent_coef=0.01,
        vf_coef=0.5,  # not used by memorax: its critic loss is 0.5 · mean square by itself
    )

    def network(head: nn.Module) -> Network:
        encoder = FeatureExtractor(observation_extractor=MLP(features=(args.width,), activation=nn.tanh))
        return Network(encoder, RNN(cell=CELLS[args.cell](features=args.width)), head)

    optimiser = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1e-3, eps=1e-5))
    actor = network(heads.Categorical(env.action_space(params).n))
    return PPO(config, NoVelocities(env), params, actor, network(heads.VNetwork()), optimiser, optimiser)


def theirs(args: argparse.Namespace) -> tuple[Callable[[], None], dict[str, Any]]:
    """One iteration as a function (blocks until done), and what to report beside its speed."""
    agent = make_agent(args)
    box = list(agent.init(jax.random.key(0)))
    start = time.perf_counter()
    # Compiled ahead: a later call of other shapes or types is an error, not a hidden recompilation.
    train = PPO.train.lower(agent, *box, args.envs * args.steps).compile()
    seconds = time.perf_counter() - start
    parameters = sum(x.size for x in jax.tree.leaves((box[1].actor_params, box[1].critic_params)))

    def iterate() -> None:
        key, state, transitions = train(*box)
        jax.block_until_ready((key, state, transitions))
        box[:] = key, state

    about = {
        "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "differences": DIFFERENCES,
        "compile_seconds": round(seconds, 2),
        "parameters": parameters,
        "width": args.width,
        "cell": args.cell,
    }
    return iterate, about


def timed(iterate: Callable[[], None]) -> float:
    """Its seconds."""
    start = time.perf_counter()
    iterate()
    return time.perf_counter() - start


def serve(iterate: Callable[[], None]) -> None:
    """An iteration for each line of stdin, its seconds for answer."""
    for _ in iter(sys.stdin.readline, ""):
        print(timed(iterate), flush=True)


def main() -> None:
    """One JSON line, or a worker."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--cell", choices=sorted(CELLS), default="gru")
    for name, default in {"envs": 64, "steps": 128, "epochs": 4, "minibatches": 4}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--serve", action="store_true")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", message="Explicitly requested dtype")  # gymnax's Discrete asks for int64
    iterate, about = theirs(args)
    if args.serve:
        print(json.dumps(about), flush=True)
        serve(iterate)
        return
    warm_up = timed(iterate)
    seconds = [timed(iterate) for _ in range(args.repeats)]
    speeds = [args.envs * args.steps / s for s in seconds]
    about |= {
        "steps_per_second": round(statistics.median(speeds)),
        "lowest": round(min(speeds)),
        "highest": round(max(speeds)),
        "warm_up_seconds": round(warm_up, 3),
        "load_average": round(os.getloadavg()[0], 2),
    }
    print(json.dumps(about))


if __name__ == "__main__":
    main()
