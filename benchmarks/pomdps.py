"""Environments from .POMDP files: does recurrent PPO reach the solver's lower bound?

    python benchmarks/pomdps.py --seeds 3 > pomdps.json

Each training is `throughtime train pomdp:FILE` with its shipped settings in a new process, on the files of tests/data.
The cache is empty at first, so the first seed's seconds hold compilation, later ones' do not. Its score is the exact
value of the final policy (`throughtime eval RUN --exact`), discounted by the file's discount, without time limit. All
seeds are reported. Prints a table on stderr and one JSON object on stdout.

The share is value / lower bound; all of these files have a positive one. Beside it stands how far the policy has come
from the best policy without memory that is known (0%) to the lower bound (100%), which would mean something for
negative returns too.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FIRST_SEED = 1000  # the settings were tuned on seeds below 200
SHARE, SECONDS = 0.95, 180
DATA = Path(__file__).parents[1] / "tests" / "data"
FILES = (
    "tiger",
    "4x3",
    "cheese.95",
    "heavenhell",
    "network",
    "paint-mended",
    "shuttle",
    "tiger-alt-start",
    "tmaze2",
    "tmaze5",
)


def command(*words: str, cache: Path) -> tuple[dict, float, float]:
    """Runs `throughtime …  --json`; its result, its seconds, and the processor's (of all cores together)."""
    start, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "throughtime", *words, "--json"],
        env=os.environ | {"THROUGHTIME_CACHE": str(cache)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    return json.loads(done.stdout), time.perf_counter() - start, cpu


def score(path: Path, seed: int, folder: Path, ceilings: dict) -> dict:
    """One training and its exact value."""
    out = folder / f"{path.stem}-{seed}"
    result, seconds, cpu = command(
        "train", f"pomdp:{path}", "--seed", str(seed), "--out", str(out), cache=folder / "cache"
    )
    exact, *_ = command("eval", str(out), "--exact", cache=folder / "cache")
    value, lower = exact["exact_value"], ceilings["optimum"][0]
    without = ceilings["memoryless"][0]
    return {
        "seed": seed,
        "value": value,
        "share": value / lower,
        "from_memoryless": (value - without) / (lower - without),
        "stretched": exact["stretched"],
        "env_steps": result["rows"][0]["env_steps"],
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
    }


def main() -> None:
    """All files that were named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", help=f"some of {', '.join(FILES)}, or paths; all by default")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    arguments = parser.parse_args()
    results: dict[str, dict] = {}
    heads = "lower", "upper", "memoryless", "seed", "value", "share", "of the way", "seconds", "cpu s"
    print(f"{'file':16}", *(f"{head:>10}" for head in heads), file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        names = arguments.files or FILES
        paths = {name: Path(name) if os.sep in name else DATA / f"{name}.POMDP" for name in names}
        for name, path in paths.items():
            facts, *_ = command("envs", f"pomdp:{path}", cache=Path(folder) / "cache")
            bounds = {kind: (facts[kind]["lower"], facts[kind]["upper"]) for kind in ("optimum", "memoryless")}
            results[name] = {"states": facts["states"], **bounds, "seeds": []}
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            for name, path in paths.items():
                row = score(path, seed, Path(folder), results[name])
                results[name]["seeds"].append(row)
                known = (*results[name]["optimum"], results[name]["memoryless"][0])
                cells = [f"{x:10.4f}" for x in known] + [f"{seed:10}", f"{row['value']:10.4f}"]
                cells += [f"{row[key]:10.1%}" for key in ("share", "from_memoryless")] + [
                    f"{row[key]:10.0f}" for key in ("seconds", "cpu_seconds")
                ]
                print(f"{name:16}", *cells, file=sys.stderr, flush=True)
    for result in results.values():
        result["reached"] = sum(s["share"] >= SHARE and s["seconds"] <= SECONDS for s in result["seeds"])
    files = sum(result["reached"] == len(result["seeds"]) for result in results.values())
    reached = files >= 0.8 * len(results)
    print(
        json.dumps(
            {"benchmark": "pomdps", "reached": reached, "files": f"{files} of {len(results)}", "results": results}
        )
    )
    sys.exit(not reached)


if __name__ == "__main__":
    main()
