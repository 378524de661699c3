"""Grids: which trainings they stand for, with which settings, and what they refuse."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from throughtime.core import ConfigError, RunFolderError
from throughtime.runs import default_config, from_toml, to_toml
from throughtime.runs.results import SUITES, Grid, cells, jobs, read_grid, refuse_changes
from throughtime.runs.results.read import grid_of

TWO = """
title = "Two mazes"
seeds = 2
memories = ["none", { name = "lstm", label = "wide LSTM", settings = { network.hidden_size = 96 } }]
agents = [{ name = "ppo", settings = { ppo.epochs = 2, ppo.clip = 0.1 } }]
environments = [
  { name = "t-maze", label = "short", settings = { env.options.length = 3, ppo.clip = 0.3 } },
  "tiger",
]

[settings]
total_steps = 50_000
network.hidden_size = 16
ppo.epochs = 7
"""


def grid(**changes) -> Grid:
    return grid_of({**tomllib.loads(TWO), **changes})


def test_every_combination_has_a_cell_seed_by_seed():
    found = cells(grid())
    assert [(c.config.seed, c.environment.title, c.memory.title) for c in found] == [
        (seed, env, memory) for seed in (0, 1) for env in ("short", "tiger") for memory in ("none", "wide LSTM")
    ]
    assert len({c.folder for c in found}) == 8
    assert found[1].folder == Path("short/ppo-wide-lstm/seed-0")


def test_an_environment_may_take_some_of_the_grids_agents_and_memories():
    entry = {"name": "tiger", "memories": ["wide LSTM"], "bar": 19, "note": "n"}
    found = cells(grid(environments=["t-maze", entry], seeds=[3, 4]))
    assert [(c.config.seed, c.environment.title, c.memory.title) for c in found] == [
        (seed, *rest)
        for seed in (3, 4)
        for rest in (("t-maze", "none"), ("t-maze", "wide LSTM"), ("tiger", "wide LSTM"))
    ]
    assert found[2].environment.bar == 19.0


def test_settings_come_over_each_other_from_the_grid_to_the_memory():
    none, lstm = (cell.config for cell in cells(grid())[:2])
    assert (none.total_steps, none.network.hidden_size, none.ppo.epochs, none.ppo.clip) == (50_000, 16, 2, 0.3)
    assert (lstm.network.memory, lstm.network.hidden_size) == ("lstm", 96)
    assert lstm.env.options == {"length": 3}
    # What was tuned for the environment stays where nothing is said, and where the memory has it.
    assert lstm.ppo.learning_rate == default_config("t-maze").ppo.learning_rate
    assert lstm.network.memory_options == {"chrono": 100}
    assert none.network.memory_options == {}


def test_a_memoryless_agent_reads_no_step_of_its_past():
    tiger = default_config("tiger")
    assert tiger.network.previous_action  # else this would say nothing
    none, lstm = (cell.config.network for cell in cells(grid())[2:4])
    assert (none.previous_action, none.previous_reward) == (False, False)
    assert lstm.previous_action


def test_a_cell_is_what_train_config_reads(tmp_path):
    for job in jobs(cells(grid()), tmp_path):
        assert from_toml(to_toml(job.config), type(job.config)) == job.config


def test_changed_settings_are_refused_and_new_seeds_are_not(tmp_path):
    for job in jobs(cells(grid()), tmp_path):
        job.folder.mkdir(parents=True)
        (job.folder / "config.toml").write_text(to_toml(job.config))
    refuse_changes(cells(grid(seeds=[1, 7])), tmp_path)
    changed = replace(grid(), settings={"ppo.gae_lambda": 0.5, "total_steps": 50_000, "network.hidden_size": 16})
    with pytest.raises(RunFolderError, match=r"short.ppo-none.seed-0 holds .*ppo\.gae_lambda is 0\.95 there and 0\.5"):
        refuse_changes(cells(changed), tmp_path)


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"memories": ["gruu"]}, "Did you mean 'gru'"),
        ({"environments": ["t-maez"]}, "Did you mean 't-maze'"),
        ({"agents": ["pppo"]}, "Did you mean 'ppo'"),
        ({"memories": []}, "memories is empty"),
        ({"seeds": 0}, "seeds = 0"),
        ({"seeds": [1, 1]}, "A seed is there twice"),
        ({"seeds": [1_000_003]}, "are for evaluation"),
        ({"memories": ["gru", "gru"]}, "'gru' twice"),
        ({"settings": {"seed": 3}}, "axis of the grid"),
        ({"settings": {"network": {"memory": "gru"}}}, "List it where it belongs: memories"),
        ({"settings": {"ppo": {"clipp": 0.1}}}, "Unknown field 'ppo.clipp'"),
        ({"settings": {"ppo": {"gae_lambda": "much"}}}, "ppo.gae_lambda = 'much'"),
        ({"settings": {"total_steps": 10}}, "less than one iteration"),
        ({"titel": "x"}, "Did you mean 'title'"),
        ({"environments": [{"nam": "tiger"}]}, "Unknown field 'environments[0].nam'"),
        ({"environments": [{"name": "tiger", "memories": ["wide lstm"]}]}, "Did you mean 'wide LSTM'"),
        ({"environments": [{"name": "tiger", "agents": ["r2d2"]}]}, "tiger names 'r2d2' among its agents"),
        ({"memories": [{"name": "gru", "bar": 1.0}]}, "Unknown field 'memories[0].bar'"),
        ({"environments": 3}, "environments = 3"),
    ],
    ids=str,
)
def test_mistakes_are_named_before_anything_is_trained(changes, hint):
    with pytest.raises(ConfigError) as error:
        cells(grid(**changes))
    assert hint in str(error.value)


def test_files_are_named_too(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'smoke'"):
        read_grid("smok")
    file = tmp_path / "a.toml"
    with pytest.raises(ConfigError, match=r"a\.toml cannot be read"):
        read_grid(str(file))
    file.write_text("seeds = = 3")
    with pytest.raises(ConfigError, match="line 1"):
        read_grid(str(file))
    file.write_text("seeds = 3")
    with pytest.raises(ConfigError, match="'environments' is missing"):
        read_grid(str(file))


@pytest.mark.parametrize("name", SUITES)
def test_what_comes_with_the_library_can_be_trained(name):
    assert cells(read_grid(name))
