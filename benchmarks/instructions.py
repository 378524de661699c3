"""Instructions in the room: success on instructions that training never had, each seed as one training.

    python benchmarks/instructions.py                           all rows, seeds 1000 to 1004
    python benchmarks/instructions.py imitation --seeds 1       some rows, one seed

Rows: imitation of the planner; its memoryless twin; PPO; chunks of 2 and 4 actions decided at once. The first has the
bars: success on `unseen` instructions of seen length ≥ 0.95, on `composed` ones of two clauses ≥ 0.90. It is that of
the final policy, greedy, on 2,000 fresh episodes of each split; steps and decisions are means over those that succeed.
Seconds are of training, in a row's first seed with compilation (unless $THROUGHTIME_CACHE has it). Settings were tuned
on other seeds. Prints progress on stderr and one JSON object on stdout; exits with 1 where a bar is missed.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

os.environ.setdefault("THROUGHTIME_CACHE", tempfile.mkdtemp())  # where the first seed of a row compiles for the others

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from throughtime.agents import Policy
from throughtime.core import select_rows
from throughtime.envs import Chunks, make
from throughtime.runs import RunConfig, train, with_memory
from throughtime.runs.config import default_config

FIRST_SEED = 1000
SECONDS = 600
SPLITS = ("train", "unseen", "composed", "composed-unseen")
EPISODES = 2_000


class Row(NamedTuple):
    """What is trained, and the least success on some splits."""

    algo: str = "instruct"
    memory: bool = True
    chunk: int = 1
    least: Mapping[str, float] = MappingProxyType({})


ROWS = {
    "imitation": Row(least=MappingProxyType({"unseen": 0.95, "composed": 0.90})),
    "memoryless": Row(memory=False),
    "chunk-2": Row(chunk=2),
    "chunk-4": Row(chunk=4),
    "ppo": Row(algo="ppo"),
}


def config_of(row: Row, seed: int, steps: int | None) -> RunConfig:
    """The tuned settings, or those of the memoryless twin; chunks have as many decisions as single actions."""
    config = replace(default_config("instructions", row.algo), seed=seed)
    config = replace(config, env=replace(config.env, chunk=row.chunk))
    if not row.memory:
        network = replace(with_memory(config.network, "none"), previous_action=False, previous_reward=False)
        config = replace(config, network=network)
    return config if steps is None else replace(config, total_steps=steps)


def play(policy: Policy, chunk: int, seed: int) -> dict[str, dict[str, float]]:
    """Of each split the success, and steps and decisions of the episodes that succeed."""
    rooms = {split: make("instructions", split=split) for split in SPLITS}
    env = rooms["train"] if chunk == 1 else Chunks(rooms["train"], chunk)  # they differ in what they draw alone
    params, count = env.default_params, len(SPLITS) * EPISODES

    @eqx.filter_jit
    def run(policy: Policy, key: jax.Array):
        keys = [jax.random.split(k, EPISODES) for k in jax.random.split(key, len(SPLITS))]
        drawn = [jax.vmap(rooms[s].reset_env, in_axes=(0, None))(k, params) for s, k in zip(SPLITS, keys, strict=True)]
        obs, state = jax.tree.map(lambda *parts: jnp.concatenate(parts), *drawn)
        step = jax.vmap(env.step_env, in_axes=(None, 0, 0, None))

        def one(carry, _):
            obs, state, remembers, going, first, success, decisions = carry
            remembers, action = policy.act(remembers, obs, jnp.broadcast_to(first, (count,)))
            seen, after, reward, terminated, _ = step(key, state, action, params)
            decisions = decisions + going.astype(jnp.int32)
            success = success | (going & (reward > 0))
            obs, state = select_rows(going, (seen, after), (obs, state))
            going = going & ~terminated & ~jax.vmap(env.is_truncated, in_axes=(0, None))(state, params)
            return (obs, state, remembers, going, jnp.zeros((), bool), success, decisions), None

        no, none = jnp.zeros(count, bool), jnp.zeros(count, jnp.int32)
        carry = (obs, state, policy.initial_state(count), ~no, jnp.ones((), bool), no, none)
        carry, _ = jax.lax.scan(one, carry, length=env.max_episode_steps)
        return carry[5], carry[1].time, carry[6]

    rows = [np.asarray(x).reshape(len(SPLITS), EPISODES) for x in run(policy, jax.random.key(seed))]
    scores = {}
    for split, success, steps, decisions in zip(SPLITS, *rows, strict=True):
        of = success if success.any() else ~success
        means = {"steps": round(float(steps[of].mean()), 2), "decisions": round(float(decisions[of].mean()), 2)}
        scores[split] = {"success": round(float(success.mean()), 4), **means}
    return scores


def run(row: Row, seed: int, steps: int | None) -> dict:
    """One training, scored on every split."""
    start = time.perf_counter()
    trained = train(config_of(row, seed, steps))
    if not trained.finished:
        sys.exit(f"seed {seed} was interrupted after {trained.steps:,} steps")
    seconds = round(time.perf_counter() - start, 1)
    scores = play(trained.policy, row.chunk, 10**6 + seed)
    return {"seed": seed, "seconds": seconds, "environment_steps": trained.steps, **scores}


def main() -> None:
    """The rows that were named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help=f"some of {', '.join(ROWS)}; all by default")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--steps", type=int, help="environment steps of each training, instead of the tuned number")
    arguments = parser.parse_args()
    if unknown := set(arguments.rows) - set(ROWS):
        parser.error(f"no row {', '.join(sorted(unknown))}")
    results, reached = {}, True
    for name in arguments.rows or ROWS:
        row, runs = ROWS[name], []
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            runs.append(run(row, seed, arguments.steps))
            print(name, json.dumps(runs[-1]), file=sys.stderr, flush=True)
        good = sum(all(r[split]["success"] >= least for split, least in row.least.items()) for r in runs)
        means = {split: round(sum(r[split]["success"] for r in runs) / len(runs), 4) for split in SPLITS}
        results[name] = {
            "bars": dict(row.least),
            "reached": f"{good} of {len(runs)}",
            "within_600_s": sum(r["seconds"] <= SECONDS for r in runs),
            "mean_success": means,
            "seeds": runs,
        }
        reached &= good == len(runs)
    print(json.dumps({"benchmark": "instructions", "reached": reached, "results": results}))
    sys.exit(not reached)


if __name__ == "__main__":
    main()
