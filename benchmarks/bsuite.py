"""bsuite's memory and credit-assignment experiments: one agent, one choice of hyperparameters, bsuite's own scores.

    python benchmarks/bsuite.py                                        # all five experiments, seed 0
    python benchmarks/bsuite.py memory_len memory_size --seed 3 > memory.json
    python benchmarks/bsuite.py umbrella_length --only 3 20 100        # some settings (no official score then)
    python benchmarks/bsuite.py memory_len --agent ppo                 # another agent

Each setting is learned from nothing for bsuite's number of episodes (10,000; discounting_chain 1,000), and scored
over all of them, from the first one on: regret while learning counts. The environments are ours, which the tests
step beside bsuite's. bsuite steps one environment; here `num_envs` of them run side by side, and their episodes
are counted in the order in which they end. Settings that differ in length alone share one compiled program.
Prints progress and the table on stderr, one JSON object on stdout.
"""

import argparse
import copy
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from throughtime.agents import PPO, NetworkConfig, PPOConfig, R2D2Config, build
from throughtime.agents.agent import AlgorithmConfig
from throughtime.envs import BSUITE, BsuiteExperiment, Environment, make
from throughtime.runs.compilation import enable_compilation_cache

# Few episodes, so many updates; returns of whole episodes (n_step), for one reward in a hundred steps tells.
R2D2 = R2D2Config(
    num_envs=8,
    rollout_length=32,
    updates=16,
    batch_size=4,
    replay_steps=100_000,
    learning_starts=1_600,
    period=32,
    burn_in=0,
    bptt_length=200,
    n_step=100,
    discount=1.0,
    head_size=32,
    rescale=False,
    target_period=50,
    importance_exponent=0.0,
    exploration="anneal",
    epsilon_end=0.0,
    epsilon_fraction=0.1,
    learning_rate=3e-3,
)
SMALL = NetworkConfig(memory="gru", hidden_size=32, encoder=(32,), memory_options={"chrono": 100.0})
AGENTS: dict[str, tuple[AlgorithmConfig, NetworkConfig]] = {
    "r2d2": (R2D2, SMALL),
    # Rewards at random in each step (umbrella): the fewer of them in a return the better.
    "r2d2-10-steps": (
        replace(
            R2D2,
            n_step=10,
            bptt_length=128,
            updates=8,
            priority_exponent=0.5,
            target_period=100,
            epsilon_fraction=0.08,
            learning_rate=1e-3,
        ),
        replace(SMALL, encoder=(64,), activation="relu"),
    ),
    "ppo": (
        PPOConfig(
            num_envs=4,
            rollout_length=128,
            epochs=4,
            minibatches=2,
            learning_rate=3e-3,
            anneal=False,
            discount=0.99,
            gae_lambda=0.95,
            entropy_weight=0.01,
        ),
        NetworkConfig(memory="gru", hidden_size=64, memory_options={"chrono": 100.0}),
    ),
}
"""Settings by agent: the same for all 106 settings of bsuite."""
CHUNK = 20  # iterations of one call


class Learning:
    """One agent that learns the settings of one experiment, each from nothing.

    Args:
        experiment: of `BSUITE`.
        config: the algorithm.
        network: the policy's network.
    """

    def __init__(self, experiment: BsuiteExperiment, config: AlgorithmConfig, network: NetworkConfig):
        self.experiment, self.config, self.network = experiment, config, network
        first, second = experiment.settings[:2]
        self.option = next(name for name, value in first.items() if value != second[name])
        self.shares = self.option == "length"  # of episodes: a number that the programs only reckon with
        self.programs = jax.jit(self._init), jax.jit(self._chunk, donate_argnums=1)

    def outcomes(self, options: Mapping[str, Any], seed: int) -> tuple[np.ndarray, int]:
        """What bsuite counts of each episode, in the order in which they ended.

        Args:
            options: one of the experiment's settings.
            seed: of weights, environments and actions.

        Returns:
            At least `experiment.episodes` numbers, and the environment steps taken.
        """
        env, B, value = self._env(options), self.config.num_envs, options[self.option]
        init, chunk = self.programs
        if not self.shares:  # the option decides shapes, or what the program is: one of its own
            init, chunk = (
                jax.jit(lambda _, seed: self._init(value, seed)),
                jax.jit(lambda _, *rest: self._chunk(value, *rest), donate_argnums=1),
            )
        # Every episode of these environments has the same length.
        steps_per_iteration = B * self.config.rollout_length
        total = -(-self.experiment.episodes * env.max_episode_steps // steps_per_iteration)
        state, outcomes, iterations, so_far = init(value, seed), [], 0, np.zeros(B, np.float32)
        while len(outcomes) < self.experiment.episodes:
            state, (rewards, ended, faults) = chunk(value, state, jnp.int32(total))
            if np.any(faults):
                sys.exit(f"The preflight found fault {np.max(faults)} in {self.experiment.env} {dict(options)}.")
            for reward, end in zip(np.asarray(rewards).reshape(-1, B), np.asarray(ended).reshape(-1, B), strict=True):
                so_far += reward
                outcomes += list((reward if self.experiment.counts == "last reward" else so_far)[end])
                so_far[end] = 0.0
            iterations += CHUNK
        return np.array(outcomes), iterations * steps_per_iteration

    def _env(self, options: Mapping[str, Any]) -> Environment:
        return make(self.experiment.env, **options)

    def _agent(self, value: Any) -> Any:
        """The agent on the setting whose option has this value, which may be traced."""
        env = copy.copy(self._env(self.experiment.settings[-1]))
        object.__setattr__(env, self.option, value)  # past the checks, which the value itself has been through
        return build(env, self.config, self.network)

    def _init(self, value: Any, seed: Any) -> Any:
        return self._agent(value).init(seed)

    def _chunk(self, value: Any, state: Any, total: Any) -> tuple[Any, tuple[Any, Any, Any]]:
        agent, none = self._agent(value), jnp.int32(0)

        def one(state: Any, nothing: None) -> tuple[Any, tuple[Any, Any, Any]]:
            del nothing
            if isinstance(agent, PPO):
                gathered = agent.gather(state)
                state, _, fault = agent.learn(state, gathered, total, none)
                steps = gathered.rollout
                return state, (steps.rewards, steps.terminated | steps.truncated, fault.kind)
            state, _, fault = agent.iterate(state, total, none)
            replay, T = state.replay, self.config.rollout_length
            at = (replay.pieces * agent.spec.period - T + jnp.arange(T, dtype=jnp.int32)) % agent.spec.capacity
            steps = replay.steps
            return state, (steps.reward[at], (steps.terminated | steps.truncated)[at], fault.kind)

        return jax.lax.scan(one, state, None, length=CHUNK)


def main() -> None:
    """The experiments that were named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiments", nargs="*", help=f"some of {', '.join(BSUITE)}; all by default")
    parser.add_argument("--agent", choices=AGENTS, default="r2d2")
    parser.add_argument("--seed", type=int, default=0, help="setting n has the seed 1000 · SEED + n")
    parser.add_argument("--only", type=int, nargs="*", help="only the settings with these lengths, bits, …")
    arguments = parser.parse_args()
    if unknown := set(arguments.experiments) - set(BSUITE):
        parser.error(f"no experiment of {', '.join(BSUITE)}: {', '.join(sorted(unknown))}")
    enable_compilation_cache()
    console, results, began = Console(stderr=True), {}, time.perf_counter()
    table = Table("experiment", "score", "settings passed", "seconds")
    for name in arguments.experiments or BSUITE:
        experiment, start, rows, all_outcomes = BSUITE[name], time.perf_counter(), [], []
        learning = Learning(experiment, *AGENTS[arguments.agent])
        option = learning.option
        for number, options in enumerate(experiment.settings):
            if arguments.only and options[option] not in arguments.only:
                continue
            begin = time.perf_counter()
            found, steps = learning.outcomes(options, 1_000 * arguments.seed + number)
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
    told = {"benchmark": "bsuite", "agent": arguments.agent, "seed": arguments.seed, "seconds": whole}
    print(json.dumps({**told, "results": results}))


if __name__ == "__main__":
    main()
