"""The pocket watch by return decomposition and by the methods beside it, on fresh seeds.

    python benchmarks/credit.py                     rudder and the tuned baselines, seeds 1000 to 1019
    python benchmarks/credit.py rudder --seeds 5    some rows
    python benchmarks/credit.py --tune              what the rows were chosen from, on seeds 0 to 9

A row's score is the number of episodes after which the greedy policy (the final values alone, no exploration) is right
for all four brands, ties counted as wrong, and stays right after every later batch of ten up to the row's last episode.
A seed that is wrong at the end, or was never right, counts as infinite. The median is over all seeds.

Every method meets the same episodes' distribution (ε-greedy at the first step, batches of ten) and was tuned over the
same ε; constant steps and 1/n, and λ, as `--tune` lists. Seconds are of each training, the first one's compilation
included. Published code stops at another rule (95% good decisions among the last 750 under ε = 0.1).
"""

import argparse
import json
import sys
from dataclasses import replace

import numpy as np

from throughtime.credit import WatchConfig, Watches
from throughtime.envs import PocketWatch

BAR, SECONDS = 500, 120
LONG = 30_000
ROWS = {
    "rudder": WatchConfig(),
    "mc-average": WatchConfig(method="monte-carlo", episodes=LONG, explore=1.0),
    "mc-constant": WatchConfig(method="monte-carlo", episodes=LONG, explore=1.0, step=0.01),
    "mc-published": WatchConfig(method="monte-carlo", episodes=LONG, explore=0.1, step=0.1),
    "td-lambda": WatchConfig(method="td", episodes=LONG, explore=1.0, trace=0.95),
    "q-learning": WatchConfig(method="td", episodes=LONG, explore=1.0, trace=0.0, step=0.1),
}
EXPLORE = (0.1, 0.5, 1.0)
STEPS = (0.0, 0.003, 0.01, 0.03, 0.1)
TRACES = (0.0, 0.5, 0.9, 0.95, 1.0)


def tuning() -> dict[str, WatchConfig]:
    """All that the baselines were chosen from, and the ε of rudder."""
    rows = {f"rudder ε={e:g}": WatchConfig(explore=e) for e in EXPLORE}
    for e in EXPLORE:
        for a in STEPS:
            base = WatchConfig(episodes=LONG, explore=e, step=a)
            name = f"ε={e:g} α={a or '1/n'}"
            rows[f"mc {name}"] = replace(base, method="monte-carlo")
            rows |= {f"td {name} λ={t:g}": replace(base, method="td", trace=t) for t in TRACES}
    return rows


def main() -> None:
    """Runs rows, prints a line for each and then one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--first-seed", type=int)
    parser.add_argument("--tune", action="store_true")
    arguments = parser.parse_args()
    known = tuning() if arguments.tune else ROWS
    first = arguments.first_seed if arguments.first_seed is not None else (0 if arguments.tune else 1000)
    seeds = range(first, first + (arguments.seeds or (10 if arguments.tune else 20)))
    chosen = {name: row for name, row in known.items() if not arguments.rows or name.split()[0] in arguments.rows}
    if not chosen:
        parser.error(f"Rows are {', '.join(dict.fromkeys(name.split()[0] for name in known))}.")
    results = {}
    for name, config in chosen.items():
        watches = Watches(PocketWatch(), config)
        runs = [watches.run(seed) for seed in seeds]
        scores = [float("inf") if r.episodes is None else r.episodes for r in runs]
        seconds = [r.seconds for r in runs]
        final = sum(bool(r.right[-1]) for r in runs)
        middle = float(np.median(scores))
        told = f"{middle:,.0f}" if np.isfinite(middle) else f"> {config.episodes:,}"
        print(
            f"{name:28} median {told:>8}; right at the end {final} of {len(runs)}; "
            f"{min(seconds):.1f} to {max(seconds):.1f} s; each: {', '.join(f'{s:g}' for s in scores)}",
            flush=True,
        )
        results[name] = {
            "episodes": [r.episodes for r in runs],
            "median": middle if np.isfinite(middle) else None,
            "last_episode": config.episodes,
            "seconds": [round(s, 2) for s in seconds],
            "redistributed_from": [config.batch * (int(r.on.argmax()) + 1) if r.on.any() else None for r in runs],
        }
    reached = None
    if "rudder" in results:
        row = results["rudder"]
        reached = row["median"] is not None and row["median"] <= BAR and max(row["seconds"]) <= SECONDS
    print(json.dumps({"benchmark": "credit", "reached": reached, "seeds": list(seeds), "results": results}))
    sys.exit(reached is False)


if __name__ == "__main__":
    main()
