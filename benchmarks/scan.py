"""SCAN: exact action sequences on the published splits, each seed as one `throughtime task scan` process.

    python benchmarks/scan.py                           all rows, seeds 1000 to 1004
    python benchmarks/scan.py simple length --seeds 1   some rows, one seed

Seconds are of whole processes: imports, data, compilation (no cache), training and evaluation. Settings were tuned on
other seeds. Prints progress on stderr and one JSON object on stdout; exits with 1 where a bar is missed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

FIRST_SEED = 1000
SECONDS = 1800


class Row(NamedTuple):
    """A command, and the least share of exact sequences; None where it is reported as it is."""

    argv: str
    least: float | None = None


ROWS = {
    "simple": Row("--split simple", 0.998),
    "turn-left": Row("--split turn-left", 0.90),
    "length": Row("--split length", 0.15),
    "jump": Row("--split jump"),
    "simple-options": Row("--split simple --policy options", 0.998),
    "turn-left-options": Row("--split turn-left --policy options", 0.90),
    "length-options": Row("--split length --policy options", 0.50),
    "jump-options": Row("--split jump --policy options", 0.90),
    "jump-syntactic": Row("--split jump --policy syntactic"),
    "length-syntactic": Row("--split length --policy syntactic"),
    "reward": Row("--split simple --learn-by reward"),
}


def run(row: Row, seed: int, folder: str) -> dict:
    """One training in a process of its own."""
    words = ["task", "scan", *row.argv.split(), "--seed", str(seed), "--out", f"{folder}/{seed}", "--overwrite"]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "throughtime", *words, "--json"],
        env=os.environ | {"THROUGHTIME_CACHE": ""},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stderr)
    scores = json.loads(done.stdout)["seeds"][0]["scores"]
    return {"seed": seed, "seconds": round(time.perf_counter() - start, 1), **scores}


def main() -> None:
    """The rows that were named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help=f"some of {', '.join(ROWS)}; all by default")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    arguments = parser.parse_args()
    if unknown := set(arguments.rows) - set(ROWS):
        parser.error(f"no row {', '.join(sorted(unknown))}")
    results, reached = {}, True
    for name in arguments.rows or ROWS:
        row = ROWS[name]
        runs = []
        with tempfile.TemporaryDirectory() as folder:
            for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
                runs.append(run(row, seed, str(Path(folder))))
                print(name, runs[-1], file=sys.stderr, flush=True)
        good = sum((row.least is None or r["exact_match"] >= row.least) and r["seconds"] <= SECONDS for r in runs)
        mean = sum(r["exact_match"] for r in runs) / len(runs)
        results[name] = {"bar": row.least, "reached": f"{good} of {len(runs)}", "mean": round(mean, 4), "seeds": runs}
        reached &= good == len(runs)
    print(json.dumps({"benchmark": "scan", "reached": reached, "results": results}))
    sys.exit(not reached)


if __name__ == "__main__":
    main()
