"""Time to `import throughtime`, and of `throughtime train` to its first update with a warm cache.

    python benchmarks/startup.py > startup.json

Medians over new processes. The first update is seen from outside: the first row of metrics.jsonl.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPEATS = 5


def import_seconds(code: str) -> float:
    """A new process that runs `code`, less an empty one."""

    def run(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    return run(code) - run("pass")


def first_update_seconds(folder: Path, number: int) -> float:
    """From starting the process to the first line of metrics."""
    out = folder / str(number)
    metrics = out / "memory" / "seed-0" / "metrics.jsonl"
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "throughtime", "train", "--out", str(out)],
        env=os.environ | {"THROUGHTIME_CACHE": str(folder / "cache")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (metrics.exists() and metrics.stat().st_size):
        if process.poll() is not None:
            sys.exit(f"throughtime train ended early with status {process.returncode}")
        time.sleep(0.02)
    seconds = time.perf_counter() - start
    process.send_signal(signal.SIGTERM)
    process.wait()
    return seconds


def main() -> None:
    """Prints medians and all values."""
    # The package imports its names when they are first used; the second line has used the main ones.
    imports = {
        code: [import_seconds(code) for _ in range(REPEATS)]
        for code in ("import throughtime", "import throughtime as tt; tt.PPO, tt.make, tt.load", "import jax")
    }
    with tempfile.TemporaryDirectory() as folder:
        cold, *warm = [first_update_seconds(Path(folder), n) for n in range(REPEATS + 1)]
    result = {
        "benchmark": "startup",
        "import_seconds": {code: {"median": statistics.median(all), "all": all} for code, all in imports.items()},
        "first_update_seconds": {"cold": cold, "warm_median": statistics.median(warm), "warm": warm},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
