"""The training loop: stopped and resumed is uninterrupted, signals save, bad numbers are named, nothing is lost."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import boundary
from boundary import Clock
from throughtime.agents import PPO, NetworkConfig, PPOConfig
from throughtime.agents import ppo as ppo_module
from throughtime.agents.preflight import FAULT_INPUT
from throughtime.core import CheckpointError, ConfigError, NonFiniteError, PreflightError, RunFolderError, named_arrays
from throughtime.envs import make
from throughtime.runs import (
    EnvConfig,
    RunConfig,
    RunFolder,
    from_toml,
    load_run,
    read_checkpoint,
    read_metrics,
    resume,
    train,
)

loop = import_module("throughtime.runs.train")

ITERATIONS = 7
# Iterations in one chunk: the loop grows its chunks until each takes this long.
ONE_BY_ONE, ALL_AT_ONCE = 0.0, 1e9
WALL_CLOCK = {"seconds", "steps_per_second"}

CASES = {
    "GRU, discrete, normalised": (
        make("cartpole-positions", time_limit=9),
        NetworkConfig(hidden_size=4, encoder=(3,), previous_action=True, normalise_observations=True),
        PPOConfig(num_envs=2, rollout_length=8, bptt_length=4, epochs=2, minibatches=2, normalise_returns=True),
    ),
    "LSTM, continuous, separate critic": (
        Clock(continuous=True),
        NetworkConfig("lstm", 3, encoder=(), separate_critic=True, previous_reward=True),
        PPOConfig(num_envs=2, rollout_length=6, epochs=1, minibatches=1, target_kl=0.01, gradient_clip_by="value"),
    ),
}


@pytest.fixture(autouse=True, scope="module")
def one_program_for_each_config():
    """Each config is compiled once for all tests here; those on `Clock` without much optimisation."""
    compile_chunk, compile_lowered, programs = loop.compile_chunk, jax.stages.Lowered.compile, {}

    def once(ppo, state):
        key = repr((ppo.env, ppo.config, ppo.network_config))
        if key not in programs:
            options = {"xla_backend_optimization_level": 0} if isinstance(ppo.env, Clock) else {}
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(jax.stages.Lowered, "compile", lambda self: compile_lowered(self, options))
                programs[key] = compile_chunk(ppo, state)
        return programs[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THROUGHTIME_CACHE", "")
        patch.setattr(loop, "compile_chunk", once)
        yield


def config_of(case: str) -> RunConfig:
    env, network, ppo = CASES[case]
    steps = ITERATIONS * ppo.num_envs * ppo.rollout_length
    return RunConfig(EnvConfig.of(env), network, ppo, total_steps=steps + 3, seed=5)


def stop_after(iterations: int):
    """A progress callback that sends this process a SIGINT when so many chunks are done."""
    calls = []

    def progress(p):
        calls.append(p)
        if len(calls) == iterations:
            signal.raise_signal(signal.SIGINT)

    return progress


def without_clock(rows):
    return [{name: value for name, value in row.items() if name not in WALL_CLOCK} for row in rows]


def assert_equal_runs(a, b):
    """Bit for bit: parameters, optimiser, environments, memories, keys, normalisers, step; and what was measured."""
    arrays, others = named_arrays(a.state), named_arrays(b.state)
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        assert np.asarray(array).tobytes() == np.asarray(others[name]).tobytes(), name
    assert without_clock(a.metrics) == without_clock(b.metrics)
    if a.path is not None and b.path is not None:
        assert last_checkpoint(a.path).read_bytes() == last_checkpoint(b.path).read_bytes()
        rows = [without_clock(read_metrics(run.path / "metrics.jsonl")) for run in (a, b)]
        assert rows[0] == rows[1]


def last_checkpoint(path: Path) -> Path:
    return max((path / "checkpoints").glob("step-*.safetensors"))


@pytest.fixture(scope="module", params=CASES)
def whole(request, tmp_path_factory):
    """A run that nothing interrupted, in two chunks: (case, run)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "CHUNK_SECONDS", ALL_AT_ONCE)
        config = config_of(request.param)
        out = tmp_path_factory.mktemp("whole") / "run"
        return request.param, train(config, out, env=CASES[request.param][0])


def test_the_checkpoint_holds_everything(whole):
    case, run = whole
    assert run.interrupted is None
    assert (
        run.steps
        == ITERATIONS * run.config.steps_per_iteration
        == read_checkpoint(last_checkpoint(run.path)).metadata.step
    )
    assert [row["step"] for row in run.metrics] == [(i + 1) * run.config.steps_per_iteration for i in range(ITERATIONS)]
    names = set(named_arrays(run.state))
    kinds = ["policy.network.", "optimiser.mu.", "optimiser.count", "actors.environment.", "actors.observation"]
    kinds += ["actors.policy.network.actor.", "actors.reset", "actors.reward", "key", "iteration"]
    if "normalised" in case:
        kinds += [
            "policy.observation_moments.",
            "return_moments.",
            "discounted_return",
            "actors.policy.previous_action",
        ]
    else:
        kinds += ["actors.policy.network.critic.c", "policy.network.critic.memory."]
    for kind in kinds:
        assert any(name.startswith(kind) for name in names), f"{kind} is not saved"
    assert set(read_checkpoint(last_checkpoint(run.path)).arrays) == names


@pytest.mark.parametrize("stops", [(1,), (3, 2)])
def test_stopped_and_resumed_is_uninterrupted_bit_for_bit(whole, stops, tmp_path, monkeypatch):
    """Stopped after so many iterations, once or twice; in chunks of one iteration, where `whole` had one of six."""
    case, uninterrupted = whole
    env = CASES[case][0]
    monkeypatch.setattr(loop, "CHUNK_SECONDS", ONE_BY_ONE)
    run = train(uninterrupted.config, tmp_path / "run", env=env, progress=stop_after(stops[0]))
    for stop in stops[1:]:
        assert run.interrupted is signal.SIGINT
        run = resume(tmp_path / "run", env=env, progress=stop_after(stop))
    assert run.interrupted is signal.SIGINT
    assert run.steps == sum(stops) * run.config.steps_per_iteration
    assert len(run.metrics) == sum(stops)
    run = resume(tmp_path / "run", env=env)
    assert run.interrupted is None
    assert_equal_runs(run, uninterrupted)
    assert [row["seconds"] for row in run.metrics] == sorted(row["seconds"] for row in run.metrics)


def test_without_a_folder_it_trains_the_same(whole, monkeypatch):
    case, uninterrupted = whole
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0.01)  # chunks of whatever size
    assert_equal_runs(train(uninterrupted.config, env=CASES[case][0]), uninterrupted)


def test_another_seed_is_another_run(whole):
    case, uninterrupted = whole
    other = train(replace(uninterrupted.config, seed=6), env=CASES[case][0])
    assert other.metrics[0]["policy_loss"] != uninterrupted.metrics[0]["policy_loss"]
    a, b = other.state.policy.network, uninterrupted.state.policy.network
    assert not np.array_equal(jax.tree.leaves(a)[0], jax.tree.leaves(b)[0])


def test_a_loaded_run_is_the_run(whole):
    case, run = whole
    env = CASES[case][0]
    for path in (run.path, last_checkpoint(run.path)):
        loaded = load_run(path, env=env)
        assert loaded.config == run.config
        for name, array in named_arrays(run.state).items():
            assert_array_equal(named_arrays(loaded.state)[name], array)


def test_resuming_a_finished_run_changes_nothing(whole):
    case, run = whole
    before = last_checkpoint(run.path).read_bytes(), (run.path / "metrics.jsonl").read_bytes()
    again = resume(run.path, env=CASES[case][0])
    assert again.steps == run.steps
    assert (last_checkpoint(run.path).read_bytes(), (run.path / "metrics.jsonl").read_bytes()) == before


# A signal to a whole process, through the command line.

PROGRAM = """
import sys, time
from importlib import import_module
import_module("throughtime.runs.train").CHUNK_SECONDS = 0.0  # one iteration a chunk
from throughtime.cli import _output, main

def update(self, label, seed, p):
    print("step", p.step, file=sys.stderr, flush=True)
    time.sleep(0.2)

_output.TrainingBar.update = update
sys.exit(main(sys.argv[1:]))
"""
ARGUMENTS = """train t-maze --env.length 2 --network.memory none --network.hidden-size 2 --network.encoder 2
    --ppo.num-envs 2 --ppo.rollout-length 4 --ppo.epochs 1 --ppo.minibatches 1 --steps 400 --json"""


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_first_and_resume_completes_to_the_same_bytes(number, code, tmp_path, tmp_path_factory):
    out = tmp_path / "run"
    # Both processes share a compilation cache.
    environment = {**os.environ, "THROUGHTIME_CACHE": str(tmp_path_factory.getbasetemp() / "cache")}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *ARGUMENTS.split(), "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert any(line.startswith("step") for line in process.stderr), "it never began"
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code, stderr
    assert json.loads(stdout) == {"folder": str(out), "interrupted": True}
    assert "throughtime resume" in stderr
    stopped = load_run(out)
    assert 0 < stopped.steps < 400
    assert len(stopped.metrics) * 8 == stopped.steps

    config = from_toml((out / "config.toml").read_text(), RunConfig)
    assert config.total_steps == 400
    assert_equal_runs(resume(out), train(config, tmp_path / "whole"))


# Numbers that are not finite.

SMALL = RunConfig(
    EnvConfig("clock"),
    NetworkConfig("none", 2, encoder=()),
    PPOConfig(num_envs=3, rollout_length=4, epochs=1, minibatches=1),
    total_steps=60,
)


@pytest.mark.parametrize(("poison", "value"), [("reward", float("nan")), ("observation", float("inf"))])
def test_a_number_that_is_not_finite_is_named_and_the_last_good_state_stays(poison, value, tmp_path):
    """In the seventh step, the third of the second iteration, of the environment with the largest serial."""
    env = Clock(continuous=poison == "observation", shortest=1000)
    ppo = PPO(env, SMALL.ppo, SMALL.network)
    serials, _ = boundary.serials_and_times(ppo.init(SMALL.seed).actors.observation)
    row = int(np.argmax(serials))
    poisoned = replace(env, poison=poison, poison_time=7, poison_serial=int(serials[row]), poison_value=value)
    with pytest.raises(NonFiniteError) as error:
        train(SMALL, tmp_path / "run", env=poisoned)
    # The checkpoint is from before the iteration it happened in.
    good = load_run(tmp_path / "run", env=poisoned)
    assert good.steps == 12
    assert all(np.isfinite(leaf).all() for leaf in named_arrays(good.state).values() if leaf.dtype.kind == "f")
    assert [row["step"] for row in good.metrics] == [12]
    action = json.loads(re.search(r"action (.*), reward", str(error.value))[1])
    if poison == "reward":
        assert action in (0, 1, 2)
    else:  # the reward tells the action: time + 0.1 · its sum
        reward = float(re.search(r"reward (.*)\.\n", str(error.value))[1])
        assert len(action) == 2
        assert_allclose(reward, 6 + 0.1 * sum(action), rtol=1e-5)
    for words in (
        "clock gave a NaN or an infinite value",
        f"environment {row}",
        "step 2 of the rollout (after 18 environment steps in all)",
        "reward nan" if poison == "reward" else "reward ",
        "Correct the environment's step",
        "last good checkpoint stays",
    ):
        assert words in str(error.value)


def test_a_bad_first_observation_is_the_environments_fault_not_the_preflights():
    env = Clock(poison="first observation", poison_serial=0)
    policy = boundary.random_policy(env, memory="none", hidden_size=2, encoder=())
    ppo = PPO(env, SMALL.ppo, SMALL.network)
    it = boundary.record(ppo, boundary.initial(ppo, policy))
    assert int(it.fault.kind) == FAULT_INPUT
    assert (int(it.fault.time), int(it.fault.environment)) == (0, 0)


def test_gradients_that_stay_bad_stop_the_run_also_where_it_was_resumed(tmp_path):
    """Each iteration has one update, and a reward whose square overflows: the third in a row is one too many."""
    env = Clock(poison="reward", poison_value=1e25, poison_time=2, poison_serial=0)
    config = replace(SMALL, ppo=replace(SMALL.ppo, max_skipped_updates=3))
    for attempt in (lambda: train(config, tmp_path / "run", env=env), lambda: resume(tmp_path / "run", env=env)):
        with pytest.raises(NonFiniteError) as error:
            attempt()
        for words in (
            "3 updates in a row had a NaN or infinite gradient",
            "update 1 (iteration 1). 24 environment steps were done",
            "The forward pass was not finite already: ",
            "value loss",
            "ppo.learning_rate",
            "last good checkpoint stays",
        ):
            assert words in str(error.value)
        good = load_run(tmp_path / "run", env=env)
        assert (good.steps, int(good.state.guard.in_row)) == (24, 2)
        assert [(row["updates"], row["skipped_updates"]) for row in good.metrics] == [(0, 1), (0, 1)]


def test_a_gradient_that_goes_bad_in_backpropagation_alone_is_traced_to_its_parameters(monkeypatch):
    value_loss = ppo_module.value_loss

    def broken(values, *rest):
        return value_loss(values, *rest) + jnp.sum(jnp.sqrt(0.0 * values))  # adds 0, whose derivative is 0 · ∞

    monkeypatch.setattr(ppo_module, "value_loss", broken)
    config = replace(SMALL, ppo=replace(SMALL.ppo, max_skipped_updates=1, discount=0.6))
    with pytest.raises(NonFiniteError) as error:
        train(config, env=Clock())
    assert "The forward pass was finite" in str(error.value)
    assert "value_head.weight_hy" in str(error.value)
    assert "policy_head" not in str(error.value)


def test_a_failed_preflight_stops_before_any_update(tmp_path, monkeypatch):
    """`tests/faults` shows what makes it fail; here no difference is small enough."""
    monkeypatch.setattr("throughtime.agents.preflight.PREFLIGHT_TOLERANCE", -1.0)
    config = replace(SMALL, ppo=replace(SMALL.ppo, discount=0.5))  # a program of its own
    with pytest.raises(PreflightError) as error:
        train(config, tmp_path / "run", env=Clock())
    for words in ("recomputed log-probabilities", "first ratio would not be 1", "No update was made"):
        assert words in str(error.value)
    assert read_metrics(tmp_path / "run" / "metrics.jsonl") == []
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []


# Folders and checkpoints in the way.


def files_of(path):
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_a_folder_that_holds_a_run_is_left_alone(whole):
    case, run = whole
    before = files_of(run.path)
    with pytest.raises(RunFolderError, match="holds a run already"):
        train(run.config, run.path, env=CASES[case][0])
    assert files_of(run.path) == before


def test_a_locked_folder_is_left_alone(whole):
    case, run = whole
    before = files_of(run.path)
    with RunFolder.open(run.path):
        for attempt in (
            lambda: resume(run.path, env=CASES[case][0]),
            lambda: train(run.config, run.path, env=CASES[case][0], overwrite=True),
        ):
            with pytest.raises(RunFolderError, match="is locked by process"):
                attempt()
    assert files_of(run.path) == before


def test_overwrite_begins_anew(tmp_path):
    out = tmp_path / "run"
    first = train(SMALL, out, env=Clock())
    train(replace(SMALL, seed=1), out, env=Clock(), overwrite=True)
    again = train(SMALL, out, env=Clock(), overwrite=True)
    assert_equal_runs(replace(first, path=None), again)


@pytest.fixture
def damaged(tmp_path, monkeypatch):
    """A run with a checkpoint after each of its first three iterations, the newest one with a flipped bit."""
    monkeypatch.setattr(loop, "CHUNK_SECONDS", ONE_BY_ONE)
    config = replace(SMALL, checkpoint_seconds=0.0)
    run = train(config, tmp_path / "run", env=Clock(), progress=stop_after(3))
    files = sorted((run.path / "checkpoints").iterdir())
    assert [file.name for file in files] == [f"step-{step:012d}.safetensors" for step in (12, 24, 36)]
    flip(files[-1])
    return run, files


def flip(file):
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def test_resume_goes_on_from_an_older_checkpoint_and_says_so(damaged):
    run, _ = damaged
    with pytest.warns(RuntimeWarning, match=r"step-000000000036.safetensors is damaged in leaf '\S+' \(bytes"):
        resumed = resume(run.path, env=Clock())
    assert_equal_runs(replace(resumed, path=None), train(run.config, env=Clock()))
    assert len(read_metrics(run.path / "metrics.jsonl")) == 5


def test_resume_without_a_checkpoint_that_can_be_loaded_names_the_leaves(damaged):
    run, files = damaged
    for file in files[:-1]:
        flip(file)
    before = files_of(run.path)
    with pytest.raises(CheckpointError, match=r"(?s)No checkpoint .* in leaf '\S+' \(bytes .* in leaf '\S+'"):
        resume(run.path, env=Clock())
    assert files_of(run.path) == before


def test_resume_with_other_settings_is_refused(tmp_path):
    run = train(SMALL, tmp_path / "run", env=Clock())
    text = (run.path / "config.toml").read_text()
    assert "hidden_size = 2" in text
    (run.path / "config.toml").write_text(text.replace("hidden_size = 2", "hidden_size = 3"))
    with pytest.raises(ConfigError, match="not the one that the checkpoint was trained with"):
        resume(run.path, env=Clock())


def test_a_larger_budget_is_no_other_setting(tmp_path):
    run = train(SMALL, tmp_path / "run", env=Clock())
    text = (run.path / "config.toml").read_text()
    budget = f"total_steps = {SMALL.total_steps}"
    assert budget in text
    (run.path / "config.toml").write_text(text.replace(budget, f"total_steps = {2 * SMALL.total_steps}"))
    assert resume(run.path, env=Clock()).steps > run.steps


def test_a_run_that_was_stopped_before_its_first_save_begins_anew_on_resume(tmp_path):
    whole = train(SMALL, tmp_path / "whole", env=Clock())
    stopped = train(SMALL, tmp_path / "stopped", env=Clock())
    for file in (stopped.path / "checkpoints").iterdir():
        file.unlink()
    (stopped.path / "metrics.jsonl").unlink()
    assert_equal_runs(resume(stopped.path, env=Clock()), whole)


def test_wrong_stored_states_are_noticed_even_where_every_first_sequence_begins_afresh(monkeypatch):
    """With BPTT over the whole rollout, the first iteration overwrites its stored states: the second must not."""
    collect = ppo_module.collect

    def broken(*args):
        actors, rollout, starts, last = collect(*args)
        return actors, rollout, jax.tree.map(lambda x: jnp.full_like(x, 0.5), starts), last

    monkeypatch.setattr(ppo_module, "collect", broken)
    config = replace(SMALL, network=NetworkConfig("gru", 2, encoder=()), ppo=replace(SMALL.ppo, discount=0.25))
    with pytest.raises(PreflightError):
        train(config, env=Clock())


def test_progress_counts_steps_and_gives_a_return(monkeypatch):
    monkeypatch.setattr(loop, "CHUNK_SECONDS", ONE_BY_ONE)
    seen = []
    began = time.perf_counter()
    run = train(SMALL, env=Clock(), progress=seen.append)
    assert [p.step for p in seen] == [12, 24, 36, 48, 60]
    assert all(p.total_steps == 60 and 0 < p.seconds <= time.perf_counter() - began for p in seen)
    assert seen[-1].episode_return == run.metrics[-1]["episode_return"] is not None
