"""A worker process without JAX: it takes a moment, and scores what its config says. See `test_jobs`, `test_sweep`.

$FAKE_TODO tells what those in some folders do beyond that, as in "trial-0001:wait": `die` kills itself, `fail` says
why, `wait` works until it is told to stop or there is a file `go`. At a learning rate x the score is
−(log10 x + 2.5)², plus 1 where the seed is odd.
"""

import json
import math
import os
import signal
import sys
import threading
import time
import tomllib
from pathlib import Path

FIELDS = {"interval": [0.0, 0.0], "episodes": 8, "mean_length": 3.0, "mmer": None, "steps": 1000, "seconds": 1.0}
FIELDS |= {"steps_per_second": 1000.0, "parameters": 7, "threads": 1, "version": "0"}


def end_with_parent() -> None:
    while os.read(0, 64):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def stop(number, frame) -> None:
    sys.exit(128 + number)


def main() -> int:
    request = json.loads(sys.stdin.readline())
    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=end_with_parent, daemon=True).start()
    config, folder = tomllib.loads(request["config"]), Path(request["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(request["config"])
    (folder / "pid").write_text(str(os.getpid()))
    with (folder / "starts").open("a") as starts:
        starts.write(f"{os.environ['NPROC']}\n")
    score = -((math.log10(config["ppo"]["learning_rate"]) + 2.5) ** 2)
    todo = os.environ.get("FAKE_TODO", "").split()
    for step in range(1, 11):
        progress = {"step": 100 * step, "total_steps": 1000, "seconds": 0.1, "steps_per_second": 1.0}
        sys.stdout.write(json.dumps({**progress, "episode_return": score}) + "\n")
        sys.stdout.flush()
        if f"{folder.parent.name}:die" in todo and step == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if f"{folder.parent.name}:fail" in todo:
            sys.stderr.write("The reward is NaN.\nIt says nothing.\n")
            return 1
        while f"{folder.parent.name}:wait" in todo and not (folder.parents[1] / "go").exists():
            time.sleep(0.01)
    (folder / "score.json").write_text(json.dumps({"format": 1, "mean_return": score + config["seed"] % 2, **FIELDS}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
