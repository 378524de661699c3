"""Names and options: what works, and what a mistake is told."""

import pytest

from throughtime.core import ConfigError
from throughtime.envs import ENVIRONMENTS, TMaze, VectorEnvironment, make


def test_options_are_the_fields_that_the_name_leaves_open():
    assert ENVIRONMENTS["t-maze"].options == {"length": 50}
    assert ENVIRONMENTS["tiger"].options == {"time_limit": 100}
    assert make("t-maze-active", length=7) == TMaze(length=7, active=True)
    assert make("t-maze").length == 50


def test_an_unknown_environment_gets_a_suggestion():
    with pytest.raises(ConfigError, match="Did you mean 't-maze'") as error:
        make("t-mase")
    assert "t-mase" in error.value.what


def test_an_unknown_option_gets_a_suggestion():
    with pytest.raises(ConfigError, match="Did you mean 'length'"):
        make("t-maze", lenght=10)


def test_what_the_name_decides_is_not_an_option():
    with pytest.raises(ConfigError, match="active is not an option") as error:
        make("t-maze", active=True)
    assert "t-maze-active" in error.value.mend


# Zero distractors and apples are none of them; layouts and mappings are counted from zero.
MAY_BE_ZERO = {
    ("umbrella", "distractors"),
    ("discounting-chain", "mapping_seed"),
    ("rock-sample", "layout"),
    ("key-to-door", "apples"),
}
OPTIONS = [(name, option) for name, entry in ENVIRONMENTS.items() for option in entry.options]


@pytest.mark.parametrize(("name", "option"), sorted(MAY_BE_ZERO))
def test_zero_where_it_means_something(name, option):
    make(name, **{option: 0})


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [(*o, v) for o in OPTIONS for v in (0, -3, 2.5, "10", True, None) if v != 0 or o not in MAY_BE_ZERO],
)
def test_impossible_values(name, option, value):
    with pytest.raises(ConfigError) as error:
        make(name, **{option: value})
    assert name in error.value.what
    assert f"{option} = {value!r}" in error.value.what
    assert error.value.why
    assert option in error.value.mend


def test_an_impossible_batch():
    with pytest.raises(ConfigError, match="batch_size = 0"):
        VectorEnvironment(make("tiger"), 0)
