"""The main program of a worker process: one training, wherever it stands, and its score.

Reads one line of JSON (`Job.request`) and writes one for each piece of progress. What it is told goes to stderr, in
words for people. Its stdin stays open as long as its parent lives: when it ends, so does the worker, saving first.
"""

import json
import os
import signal
import sys
import threading
import warnings
from pathlib import Path

from throughtime.core import ThroughtimeError


def main() -> int:
    """The exit status: 0, 1 after an error, 128 + n after signal n."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then stops its workers
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what environments print must not look like progress
    warnings.simplefilter("ignore", RuntimeWarning)
    try:
        return _work(Path(request["folder"]), request["config"], request["code"], out)
    except ThroughtimeError as error:
        print(error, file=sys.stderr)  # noqa: T201 - for the parent
        return 1
    except BrokenPipeError:
        return 1


def _work(folder: Path, text: str, code: str | None, out) -> int:
    from throughtime.envs import trust
    from throughtime.runs import RunConfig, from_toml, load_run, resume, train
    from throughtime.runs.compilation import enable_compilation_cache
    from throughtime.runs.jobs.job import refuse_other
    from throughtime.runs.jobs.score import read_score, score_run, write_score
    from throughtime.runs.train import Progress

    def tell(p: Progress) -> None:
        out.write(json.dumps(p._asdict()) + "\n")
        out.flush()

    if code is not None:
        trust(code)
    config = from_toml(text, RunConfig)
    enable_compilation_cache()
    if any(folder.glob("checkpoints/step-*")):
        refuse_other(folder, config)
        run = load_run(folder)
        if run.finished and read_score(folder) is not None:
            return 0
        run = run if run.finished else resume(folder, progress=tell)
    else:
        run = train(config, folder, overwrite=folder.exists(), progress=tell)
    if run.interrupted is not None:
        return 128 + run.interrupted
    write_score(folder, score_run(run))
    return 0


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
