"""Planning in exact and in learned models, on fresh seeds.

    python benchmarks/planning.py                       all rows
    python benchmarks/planning.py cartpole --seeds 5    CartPole, positions only: learn, plan, at most 10,000 real steps
    python benchmarks/planning.py pendulum --seeds 5    Pendulum, positions only
    python benchmarks/planning.py tiger                 planners over the exact belief, their exact values

cartpole and pendulum train `--algo planner` with its shipped settings, a fresh training a seed, from seed 1000 on, and
score the final policy (planned actions, no exploration) on fresh episodes. All real steps of a training count, random
ones too. Prints a line a seed and then one JSON object.
"""

import argparse
import json
import sys
import time
from dataclasses import replace

import numpy as np

from throughtime.agents import planning_policy
from throughtime.envs import make, solve
from throughtime.runs import default_config, train
from throughtime.runs.exact import exact_value
from throughtime.world.planning import BeliefModel, CategoricalCrossEntropy, SparseSampling

FIRST_SEED = 1000
LEARNED = {"cartpole": "cartpole-positions", "pendulum": "pendulum-positions"}


def learned(name: str, seeds: int, first: int, episodes: int) -> list[dict]:
    """One training a seed."""
    rows = []
    for seed in range(first, first + seeds):
        began = time.perf_counter()
        run = train(replace(default_config(name, "planner"), seed=seed, evaluation_episodes=episodes), None)
        seconds = time.perf_counter() - began
        score = run.evaluate(episodes)
        row = {
            "seed": seed,
            "real_steps": run.config.iterations * run.config.steps_per_iteration,
            "mean": round(score.mean, 2),
            "least": float(np.min(score.returns)),
            "median": float(np.median(score.returns)),
            "episodes": episodes,
            "training_seconds": round(seconds, 1),
        }
        print(name, row, file=sys.stderr, flush=True)
        rows.append(row)
    return rows


def tiger() -> dict[str, float]:
    """Exact values of planners over exact beliefs, and the solver's lower bound."""
    env = make("tiger")
    model, g = BeliefModel(env), env.discount
    planners = {
        "sparse sampling, four deep": SparseSampling(widths=(4, 4, 2, 2), discount=g),
        "sparse sampling, five deep": SparseSampling(widths=(8, 4, 4, 2, 2), discount=g),
        "open-loop cross-entropy": CategoricalCrossEntropy(
            horizon=6, candidates=200, elites=20, particles=4, discount=g
        ),
    }
    values = {name: exact_value(planning_policy(env, model, p), env).value for name, p in planners.items()}
    return {**values, "solver (lower bound)": solve(env.tables(), g).lower}


def main() -> None:
    """Runs rows, prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", default=[*LEARNED, "tiger"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--episodes", type=int, default=20)
    arguments = parser.parse_args()
    results: dict[str, object] = {}
    for row in arguments.rows:
        if row in LEARNED:
            results[row] = learned(LEARNED[row], arguments.seeds, arguments.first_seed, arguments.episodes)
        elif row == "tiger":
            results[row] = {name: round(value, 4) for name, value in tiger().items()}
        else:
            parser.error(f"Rows are {', '.join([*LEARNED, 'tiger'])}.")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
