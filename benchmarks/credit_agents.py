"""RUDDER-PPO on key-to-door beside the same agent without redistribution, and beside PPO with λ of its own.

    python benchmarks/credit_agents.py                     every row, seeds 1000 to 1004
    python benchmarks/credit_agents.py rudder-ppo --seeds 2
    python benchmarks/credit_agents.py --out FILE          a JSON object a line; what FILE has is not run again

Rows: `rudder-ppo`, the shipped settings; `ppo-same`, the same with nothing redistributed; `ppo-0.9`, `ppo-0.95` and
`ppo-1.0`, PPO with that λ and discount 0.99. About every 50,000 steps 256 fresh episodes are played with drawn actions,
until in three looks in a row the door was opened in 95% of them, or the budget is spent. A score is the number of steps
at the first look in which it was opened in 90%; the final policy is then scored on 1,000 fresh episodes, with its most
probable actions. The learning rate is constant, so that the budget has no say.
"""

import argparse
import json
import time
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from throughtime.agents import PPOConfig
from throughtime.runs import RunConfig, default_config
from throughtime.runs.compilation import enable_compilation_cache
from throughtime.runs.train import compile_chunk
from throughtime.runs.trajectories import act_out

BUDGET, EVERY, GOAL, ENOUGH = 2_000_000, 50_000, 0.9, 0.95
ENV = "key-to-door"


def rows() -> dict[str, RunConfig]:
    """The settings of each row."""
    rudder = default_config(ENV, "rudder-ppo").with_agent(anneal=False)
    shared = {f.name: getattr(rudder.agent, f.name) for f in fields(PPOConfig)}
    same = RunConfig(env=rudder.env, network=rudder.network, ppo=PPOConfig(**shared))
    swept = {f"ppo-{x}": same.with_agent(gae_lambda=x, discount=0.99) for x in (0.9, 0.95, 1.0)}
    return {"rudder-ppo": rudder, "ppo-same": same, **swept}


def doors(policy, env, rows: int, seed: int, deterministic: bool) -> float:
    """The share of episodes in which the door was opened, the only thing that pays so much."""
    played = act_out(policy, env, steps=env.max_episode_steps, rows=rows, seed=seed, deterministic=deterministic)
    return float((played.rewards.max(axis=0) >= env.default_params.door).mean())


def run(config: RunConfig, seeds: Iterable[int], budget: int):
    """A result for each seed, on one compiled program."""
    agent = config.build()
    init, chunk = jax.jit(agent.init), None
    total = budget // agent.steps_per_iteration
    for seed in seeds:
        began = time.perf_counter()
        state, done, looks, on = init(jnp.uint32(seed)), 0, [], None
        if chunk is None:
            chunk = compile_chunk(agent, state)
        while done < total and not (len(looks) > 2 and min(share for _, share in looks[-3:]) >= ENOUGH):
            count = min(max(1, EVERY // agent.steps_per_iteration), total - done)
            state, metrics, completed, fault = chunk(state, *map(jnp.int32, (count, total, 0)))
            assert int(completed) == count, fault
            done += count
            steps = done * agent.steps_per_iteration
            if on is None and metrics.redistributed is not None and np.asarray(metrics.redistributed)[:count].any():
                on = steps
            looks.append((steps, doors(state.policy, agent.env, 256, 10_000_000 + done, False)))
        yield {
            "seed": seed,
            "steps_to_goal": next((steps for steps, share in looks if share >= GOAL), None),
            "steps": done * agent.steps_per_iteration,
            "final": doors(state.policy, agent.env, 1000, 20_000_000, True),
            "redistributed_from": on,
            "seconds": round(time.perf_counter() - began, 1),
            "looks": looks,
        }


def main() -> None:
    """Runs rows and prints a line for each training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", choices=[*rows(), []])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--budget", type=int, default=BUDGET)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    enable_compilation_cache()
    text = arguments.out.read_text(encoding="utf-8") if arguments.out and arguments.out.exists() else ""
    known = [json.loads(line) for line in text.splitlines()]
    for name in arguments.rows or rows():
        done = {row["seed"] for row in known if row["row"] == name}
        seeds = [s for s in range(arguments.first_seed, arguments.first_seed + arguments.seeds) if s not in done]
        for result in run(rows()[name], seeds, arguments.budget):
            line = json.dumps({"row": name, **result})
            print(line, flush=True)
            if arguments.out:
                with open(arguments.out, "a", encoding="utf-8") as file:
                    file.write(line + "\n")


if __name__ == "__main__":
    main()
