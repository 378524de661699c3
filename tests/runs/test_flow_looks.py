"""Looks through the microscope while training: kept, resumed, and without any effect on the training."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from throughtime.agents import NetworkConfig, PPOConfig
from throughtime.core import ConfigError, RunFolderError, named_arrays
from throughtime.runs import EnvConfig, RunConfig, from_toml, load_run, resume, to_toml, train

PLAIN = RunConfig(
    EnvConfig("t-maze", {"length": 2}),
    NetworkConfig("elman", 3, encoder=()),
    PPOConfig(num_envs=2, rollout_length=8, epochs=1, minibatches=1),
    total_steps=16 * 5,
    evaluation_episodes=2,
)
WITH = replace(PLAIN, flow_every=2)


pytestmark = pytest.mark.usefixtures("quick_compiler")


@pytest.fixture(scope="module")
def looked(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "looked"
    return train(WITH, out)


def iterations(run):
    return [look["iteration"] for look in run.flow]


def test_a_training_with_looks_equals_one_without(looked):
    plain, watched = named_arrays(train(PLAIN).state), named_arrays(looked.state)
    assert plain.keys() == watched.keys()
    for name in plain:
        np.testing.assert_array_equal(plain[name], watched[name], err_msg=name)


def test_it_looks_at_the_start_every_n_iterations_and_at_the_end(looked):
    assert iterations(looked) == [0, 2, 4, 5]
    lines = [json.loads(line) for line in (looked.path / "flow.jsonl").read_text().splitlines()]
    assert lines == json.loads(json.dumps(looked.flow))
    assert [line["step"] for line in lines] == [0, 32, 64, 80]
    for line in lines:
        record = line["networks"]["network"]
        assert record["required_lag"] == 2
        assert record["horizon"] in (0, 1, 2)
        assert math.isclose(sum(record["shares"]["memory.weight_hh"]), 1.0, abs_tol=1e-2)
    assert iterations(load_run(looked.path)) == [0, 2, 4, 5]
    events = b"".join(path.read_bytes() for path in looked.path.glob("events.out.tfevents.*"))
    assert b"flow/network/horizon" in events
    assert b"flow/network/spectral_radius/weight_hh" in events


def test_resuming_takes_looks_beyond_the_checkpoint_again(tmp_path):
    out = tmp_path / "run"
    assert iterations(train(replace(WITH, total_steps=16 * 3), out)) == [0, 2, 3]
    config = from_toml((out / "config.toml").read_text(), RunConfig)
    (out / "config.toml").write_text(to_toml(replace(config, total_steps=16 * 5)))
    assert iterations(resume(out)) == [0, 2, 4, 5]
    with pytest.raises(RunFolderError):
        train(WITH, out)
    assert iterations(train(PLAIN, out, overwrite=True)) == []
    assert not (out / "flow.jsonl").exists()


def test_looks_may_be_turned_on_or_off_for_a_resumed_run():
    with pytest.raises(ConfigError, match="flow_every = 0"):
        replace(PLAIN, flow_every=0)
    assert from_toml(to_toml(WITH), RunConfig) == WITH
