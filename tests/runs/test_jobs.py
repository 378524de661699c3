"""Jobs in worker processes: none takes another along, and all of them end with whoever started them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from throughtime.core import ConfigError, RunFolderError
from throughtime.runs import EnvConfig, checkpoint_name, default_config, latest_checkpoint
from throughtime.runs.jobs import Job, Pool, on_ray, pool, run_jobs
from throughtime.runs.jobs.job import refuse_other
from throughtime.runs.jobs.score import maximum_mean_return
from throughtime.runs.toml import to_toml

HERE = str(Path(__file__).parent)


@pytest.fixture(autouse=True)
def fake_workers(monkeypatch):
    for module in (pool, on_ray):
        monkeypatch.setattr(module, "WORKER", "fake_worker")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([HERE, os.environ.get("PYTHONPATH", "")]))


def job_of(out: Path, name: str, seed: int = 0) -> Job:
    config = replace(default_config("t-maze"), seed=seed)
    return Job(name, out / name / f"seed-{seed}", config)


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 60
    while not path.exists() or not path.read_text():
        assert time.monotonic() < deadline, f"{path} does not come"
        time.sleep(0.01)
    return path.read_text()


def test_one_that_is_killed_and_one_that_fails_lose_nothing_of_the_others(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_TODO", "killed:die broken:fail")
    jobs = [job_of(tmp_path, name) for name in ("killed", "a", "broken", "b")]
    seen: dict[str, list] = {}
    done = []
    outcomes, signal_seen = run_jobs(
        jobs, workers=2, threads=3, report=lambda job, p: seen.setdefault(job.label, []).append(p), finished=done.append
    )
    assert signal_seen is None
    assert [o.job for o in outcomes] == jobs
    assert [o.status for o in outcomes] == ["failed", "done", "failed", "done"]
    assert "SIGKILL" in outcomes[0].message
    assert "The reward is NaN." in outcomes[2].message
    assert sorted(done, key=lambda o: o.job.label) == sorted(outcomes, key=lambda o: o.job.label)
    assert [p.step for p in seen["a"]] == list(range(100, 1001, 100))
    assert [job.score is not None for job in jobs] == [False, True, False, True]
    assert (jobs[1].folder / "starts").read_text() == "3\n"  # threads


def test_so_many_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_TODO", "a:wait b:wait c:wait")
    jobs = [job_of(tmp_path, name) for name in "abc"]
    with Pool(workers=2) as workers:
        futures = [workers.submit(job) for job in jobs]
        for job in jobs[:2]:
            wait_for(job.folder / "pid")
        time.sleep(0.1)
        assert not jobs[2].folder.exists()
        (tmp_path / "go").write_text("go")
        assert [future.result().status for future in futures] == ["done"] * 3


def test_one_is_stopped_and_the_others_go_on(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_TODO", "a:wait")
    jobs = [job_of(tmp_path, name) for name in "ab"]
    with Pool(workers=1) as workers:
        futures = [workers.submit(job) for job in jobs]
        wait_for(jobs[0].folder / "pid")
        workers.stop(jobs[0])
        assert [future.result().status for future in futures] == ["stopped", "done"]


def test_a_signal_stops_all_and_the_rest_does_not_begin(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_TODO", "a:wait")
    jobs = [job_of(tmp_path, name) for name in "ab"]

    def interrupt():
        wait_for(jobs[0].folder / "pid")
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    outcomes, number = run_jobs(jobs, workers=1)
    assert number is signal.SIGINT
    assert [o.status for o in outcomes] == ["stopped", "stopped"]
    assert not jobs[1].folder.exists()


def test_workers_end_with_a_parent_that_is_killed(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_TODO", "a:wait")
    program = (
        "from pathlib import Path; import test_jobs; from throughtime.runs.jobs import pool, run_jobs;"
        f"pool.WORKER = 'fake_worker'; run_jobs([test_jobs.job_of(Path({str(tmp_path)!r}), 'a')])"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as parent:
        worker = int(wait_for(tmp_path / "a" / "seed-0" / "pid"))
        parent.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists() and "zombie" not in Path(f"/proc/{worker}/status").read_text():
        assert time.monotonic() < deadline, "the worker lives on"
        time.sleep(0.02)


def test_a_run_of_other_settings_is_refused_with_what_differs(tmp_path):
    config = default_config("t-maze")
    refuse_other(tmp_path, config)  # nothing there
    (tmp_path / "config.toml").write_text(to_toml(config))
    refuse_other(tmp_path, config)
    other = replace(config, ppo=replace(config.ppo, clip=0.1), total_steps=9_000)
    with pytest.raises(RunFolderError, match=r"ppo\.clip is 0\.2 there and 0\.1 here"):
        refuse_other(tmp_path, other)


@pytest.mark.parametrize("argument", ["workers", "threads"])
def test_no_workers_are_refused(argument):
    with pytest.raises(ConfigError, match=f"{argument} = 0"):
        Pool(**{argument: 0})


def rows(*pairs):
    return [{"episodes": n, "episode_return": value if n else None} for n, value in pairs]


def test_mmer_is_the_best_epoch_weighted_by_episodes():
    """Epochs of two iterations: (1·0 + 3·1)/4, (0 + 2·0.5)/2, and one that is cut off."""
    metrics = rows((1, 0.0), (3, 1.0), (0, None), (2, 0.5), (1, 9.0))
    assert maximum_mean_return(metrics, 100, epoch=200) == 0.75
    assert maximum_mean_return(metrics, 100, epoch=100) == 9.0
    assert maximum_mean_return(metrics[:1], 100, epoch=200) == 0.0
    assert maximum_mean_return(rows((0, None)), 100) is None
    assert maximum_mean_return([], 100) is None


@pytest.mark.slow
def test_jobs_run_on_ray(tmp_path, monkeypatch):
    """In a network of its own, which has a loopback interface and nothing else: Ray listens on all there are."""
    pytest.importorskip("ray")
    alone = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("this machine allows no network of one's own")
    monkeypatch.setenv("FAKE_TODO", "killed:die")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    words = [*alone, sys.executable, str(Path(HERE) / "ray_jobs.py"), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert [status for status, _ in told] == ["failed", "done"]
    assert "SIGKILL" in told[0][1]
    assert job_of(tmp_path, "a").score is not None


@pytest.mark.slow
def test_a_real_worker_saves_when_its_stdin_closes(tmp_path):
    config = default_config("t-maze")
    network = replace(config.network, hidden_size=4, encoder=())
    config = replace(config.with_agent(num_envs=4, rollout_length=8, epochs=1, minibatches=1), network=network)
    config = replace(config, env=EnvConfig("t-maze", {"length": 3}), total_steps=10**8, evaluation_episodes=8)
    job, pipe = Job("endless", tmp_path / "run", config), subprocess.PIPE
    words = [sys.executable, "-m", "throughtime.runs.jobs.worker"]
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        process.stdin.write(job.request() + "\n")
        process.stdin.flush()
        step = json.loads(process.stdout.readline())["step"]
        process.stdin.close()
        process.stdout.read()
        assert process.wait(60) == 128 + signal.SIGTERM, process.stderr.read()
    assert latest_checkpoint(job.folder / "checkpoints").path.name >= checkpoint_name(step)
    assert job.score is None
