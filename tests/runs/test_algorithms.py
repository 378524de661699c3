"""A run names its algorithm, and its config holds the settings of that one alone."""

import tomllib
from dataclasses import replace

import pytest

from throughtime.agents import ALGORITHMS, PPOConfig
from throughtime.agents.registry import algorithm_of, table_of
from throughtime.core import ConfigError
from throughtime.runs import RunConfig, default_config, from_toml, to_toml


@pytest.mark.parametrize("algo", sorted(ALGORITHMS))
def test_a_config_holds_the_settings_of_its_algorithm_alone(algo):
    config = RunConfig(algo=algo).with_agent(num_envs=4, discount=0.5)
    tables = tomllib.loads(to_toml(config))
    assert tables["algo"] == algo
    assert {name for name in ALGORITHMS if table_of(name) in tables} == {algo}
    assert from_toml(to_toml(config), RunConfig) == config
    assert (config.agent.num_envs, config.agent.discount) == (4, 0.5)
    assert config.steps_per_iteration == 4 * config.agent.rollout_length
    assert algorithm_of(config.agent) == algo


def test_a_config_from_before_algorithms_had_names_is_one_of_ppo():
    config = from_toml("total_steps = 5000\n[ppo]\nlearning_rate = 0.5\n", RunConfig)
    assert config == RunConfig(ppo=PPOConfig(learning_rate=0.5), total_steps=5000)
    assert config.algo == "ppo"


def test_unknown_algorithms_get_a_suggestion():
    for fails in (lambda: RunConfig(algo="pppo"), lambda: default_config(algo="pppo")):
        with pytest.raises(ConfigError, match=r"no algorithm 'pppo'.\nDid you mean 'ppo'"):
            fails()


def test_settings_of_another_algorithm_are_refused_not_ignored():
    other = next((name for name in ALGORITHMS if name != "ppo"), None)
    if other is None:
        pytest.skip("there is one algorithm")
    with pytest.raises(ConfigError, match="settings of ppo beside"):
        replace(RunConfig(), algo=other)
    with pytest.raises(ConfigError, match=f"settings of {other} beside"):
        from_toml(f"[{other}]\nnum_envs = 3\n", RunConfig)
