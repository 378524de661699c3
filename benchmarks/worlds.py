"""World models: tiger dreamt, and how far ahead CartPole is seen.

    python benchmarks/worlds.py                  # all of it
    python benchmarks/worlds.py tiger --first-seed 0

tiger: a model learned from random actions alone, an agent (recurrent PPO) trained in it alone, and its exact value at
the first real contact; the bar is 95% of the exact optimum, the limit 5 minutes for both trainings and the evaluation.
cartpole-positions: the open-loop error 20 steps ahead beside that of a feed-forward model of the same size; the bar is
half of it. Each seed runs in processes of its own, with no compilation cache; seconds are wall clock, imports included.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tasks import command

FIRST_SEED = 1000
OPTIMUM = 19.371368
TIGER_BAR, TIGER_SECONDS = 0.95 * OPTIMUM, 300.0
AHEAD, AHEAD_BAR = 20, 0.5
TASKS = ("tiger", "cartpole-positions")


def tiger(seed: int, folder: Path) -> dict:
    """Learn, dream, meet the real one."""
    world, agent = folder / f"tiger-world-{seed}", folder / f"tiger-dreamt-{seed}"
    seeded = ("--seed", str(seed))
    _, learn = command("train", "tiger", "--algo", "world-model", *seeded, "--out", str(world))
    dreamt, dream = command("train", f"world:{world}", *seeded, "--out", str(agent))
    exact, meet = command("eval", str(agent), "--env", "tiger", "--exact")
    value = exact["exact_value"]
    return {
        "seed": seed,
        "exact_value": value,
        "share": value / OPTIMUM,
        "stretched": exact["stretched"],
        "in_the_dream": dreamt["rows"][0]["mean_return"],
        "seconds": {"learn": round(learn, 1), "dream": round(dream, 1), "meet": round(meet, 1)},
        "reached": value >= TIGER_BAR and learn + dream + meet <= TIGER_SECONDS,
    }


def cartpole(seed: int, folder: Path) -> dict:
    """Learn from 10,000 random steps, look 20 steps ahead."""
    world = folder / f"cartpole-world-{seed}"
    _, learn = command("train", "cartpole-positions", "--algo", "world-model", "--seed", str(seed), "--out", str(world))
    found, look = command("world", str(world), "--ahead", str(AHEAD))
    errors = {name: found["open_loop"][name][-1] for name in ("model", "feed_forward", "persistence")}
    share = errors["model"] / errors["feed_forward"]
    seconds = {"learn": round(learn, 1), "look": round(look, 1)}
    return {"seed": seed, **errors, "share": share, "seconds": seconds, "reached": share <= AHEAD_BAR}


def main() -> None:
    """All tasks that were named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*", help=f"some of {', '.join(TASKS)}; all by default")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for task in arguments.tasks or TASKS:
            rows = []
            for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
                rows.append({"tiger": tiger, "cartpole-positions": cartpole}[task](seed, Path(folder)))
                print(task, rows[-1], file=sys.stderr, flush=True)
            results[task] = {"reached": sum(row["reached"] for row in rows), "of": len(rows), "seeds": rows}
    reached = all(result["reached"] == result["of"] for result in results.values())
    print(json.dumps({"benchmark": "worlds", "reached": reached, "results": results}))
    sys.exit(not reached)


if __name__ == "__main__":
    main()
