"""bsuite's memory and credit-assignment experiments: one agent, one choice of hyperparameters, bsuite's own scores.

    python benchmarks/bsuite.py                                        # all five experiments, seed 0
    python benchmarks/bsuite.py memory_len memory_size --seed 3 > memory.json
    python benchmarks/bsuite.py umbrella_length --only 3 20 100        # some settings (no official score then)

Each setting is learned from nothing for bsuite's number of episodes (10,000; discounting_chain 1,000), and scored
over all of them, from the first one on: regret while learning counts. The environments are ours, which the tests
step beside bsuite's. bsuite steps one environment; here `num_envs` of them run side by side, and their episodes
are counted in the order in which they end. Prints progress and the table on stderr, one JSON object on stdout.
"""

import argparse
import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from throughtime.agents import PPO, NetworkConfig, PPOConfig
from throughtime.envs import BSUITE, make

# The same for all 106 settings. Few environments, for there are few episodes; rollouts longer than any episode.
NETWORK = NetworkConfig(memory="gru", hidden_size=64, memory_options={"chrono": 100.0})
CONFIG = PPOConfig(
    num_envs=4,
    rollout_length=128,
    epochs=4,
    minibatches=2,
    learning_rate=3e-3,
    anneal=False,
    discount=0.99,
    gae_lambda=0.95,
    entropy_weight=0.01,
)
CHUNK = 20  # iterations of one call


def outcomes(experiment, options, seed: int, config: PPOConfig = CONFIG, network: NetworkConfig = NETWORK):
    """What bsuite counts of each episode while a fresh agent learns, in the order in which they ended.

    Args:
        experiment: of `BSUITE`.
        options: one of its settings.
        seed: of weights, environments and actions.
        config: the algorithm.
        network: the policy's network.

    Returns:
        At least `experiment.episodes` numbers, and the environment steps taken.
    """
    agent = PPO(make(experiment.env, **options), config, network)
    total = jnp.int32(2**30)  # no annealing: how many iterations there will be is not known

    @jax.jit
    def chunk(state):
        def body(state, _):
            gathered = agent.gather(state)
            after, _, fault = agent.learn(state, gathered, total, jnp.int32(0))
            rollout = gathered.rollout
            counted = rollout.rewards if experiment.counts == "last reward" else rollout.ended_returns
            return after, (counted, rollout.terminated | rollout.truncated, fault.kind)

        return jax.lax.scan(body, state, None, length=CHUNK)

    state, episodes, count, steps = jax.jit(agent.init)(seed), [], 0, 0
    while count < experiment.episodes:
        state, (counted, ended, fault) = chunk(state)
        counted, ended = np.asarray(counted), np.asarray(ended)  # [CHUNK, T, B]: flattened, the order of their ends
        if np.any(fault):
            sys.exit(f"The preflight found fault {np.max(fault)} in {experiment.env} {dict(options)}.")
        episodes.append(counted[ended])
        count, steps = count + len(episodes[-1]), steps + ended.size
    return np.concatenate(episodes), steps


def main() -> None:
    """The experiments that were named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiments", nargs="*", help=f"some of {', '.join(BSUITE)}; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="*", help="only the settings with these lengths, bits, …")
    arguments = parser.parse_args()
    if unknown := set(arguments.experiments) - set(BSUITE):
        parser.error(f"no experiment of {', '.join(BSUITE)}: {', '.join(sorted(unknown))}")
    console, results, began = Console(stderr=True), {}, time.perf_counter()
    table = Table("experiment", "score", "settings passed", "seconds")
    for name in arguments.experiments or BSUITE:
        experiment, start, rows, all_outcomes = BSUITE[name], time.perf_counter(), [], []
        option = next(o for o, v in experiment.settings[0].items() if v != experiment.settings[1][o])
        for options in experiment.settings:
            if arguments.only and options[option] not in arguments.only:
                continue
            begin = time.perf_counter()
            found, steps = outcomes(experiment, options, arguments.seed)
            all_outcomes.append(found)
            row = {option: options[option], "steps": steps, "seconds": round(time.perf_counter() - begin, 1)}
            if experiment.counts == "return":
                row["mean_return"] = float(found[: experiment.episodes].mean())
            else:
                row["mistakes"] = experiment.mistakes(found)
                row["passed"] = row["mistakes"] < experiment.limit
            rows.append(row)
            console.print(f"{name} {row}", soft_wrap=True, highlight=False)
        official, seconds = not arguments.only, time.perf_counter() - start
        score = experiment.score(all_outcomes)
        results[name] = {"score": score, "all_settings": official, "seconds": round(seconds, 1), "settings": rows}
        passed = "–" if experiment.counts == "return" else f"{sum(row['passed'] for row in rows)} of {len(rows)}"
        table.add_row(name + ("" if official else " (some settings)"), f"{score:.3f}", passed, f"{seconds:.0f}")
        jax.clear_caches()
    console.print(table)
    whole = round(time.perf_counter() - began, 1)
    print(json.dumps({"benchmark": "bsuite", "seed": arguments.seed, "seconds": whole, "results": results}))


if __name__ == "__main__":
    main()
