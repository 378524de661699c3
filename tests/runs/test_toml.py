"""Configs survive TOML, and each mistake in one is named."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from throughtime.core import ConfigError
from throughtime.runs.toml import from_dict, from_toml, replace_fields, to_toml


@dataclass(frozen=True)
class Optimiser:
    learning_rate: float = 3e-4
    epochs: int = 4
    clip: Literal["norm", "value"] = "norm"
    kl_stop: float | None = 0.02

    def __post_init__(self):
        if self.epochs == 3 and self.clip == "value":
            raise ConfigError("3 epochs by value is impossible.")


@dataclass(frozen=True)
class Settings:
    seed: int
    name: str = "run"
    log: bool = True
    window: int | None = None
    critic: str | None = None
    taps: tuple[int, ...] = (1, 2)
    size: tuple[int, float] = (1, 0.5)
    options: dict[str, int | float | bool | str] = field(default_factory=dict)
    depth: Literal[1, 2, 3] = 1
    optimiser: Optimiser = Optimiser()
    teacher: Optimiser | None = None


scalars = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.booleans(), st.text())
optimisers = st.builds(
    Optimiser,
    learning_rate=st.floats(allow_nan=False),
    epochs=st.integers(4, 100),
    clip=st.sampled_from(["norm", "value"]),
    kl_stop=st.none() | st.floats(allow_nan=False),
)
settings_ = st.builds(
    Settings,
    seed=st.integers(-(2**63), 2**63 - 1),
    name=st.text(),
    log=st.booleans(),
    window=st.none() | st.integers(0, 9),
    critic=st.none() | st.text() | st.just("none"),
    taps=st.lists(st.integers(0, 99)).map(tuple),
    size=st.tuples(st.integers(0, 9), st.floats(allow_nan=False)),
    options=st.dictionaries(st.text(), scalars),
    depth=st.sampled_from([1, 2, 3]),
    optimiser=optimisers,
    teacher=st.none() | optimisers,
)


@settings(max_examples=150, deadline=None)
@given(settings_)
def test_a_config_reads_back_equal(config):
    again = from_toml(to_toml(config), Settings)
    assert again == config
    # == calls 1, 1.0 and True equal; their repr does not.
    assert repr(again) == repr(config)


def test_nan_survives():
    assert math.isnan(from_toml(to_toml(Optimiser(learning_rate=math.nan)), Optimiser).learning_rate)


def test_what_is_left_out_has_its_default():
    assert from_toml("seed = 7\n[optimiser]\nepochs = 9", Settings) == Settings(7, optimiser=Optimiser(epochs=9))


def test_an_integer_is_a_float_where_a_float_is_due():
    rate = from_toml("learning_rate = 1", Optimiser).learning_rate
    assert type(rate) is float
    assert rate == 1.0


def test_none_turns_an_optional_field_off():
    assert from_toml('kl_stop = "none"', Optimiser).kl_stop is None
    assert from_toml('seed = 1\ncritic = "none"', Settings).critic == "none"  # a word that this field may have
    assert 'kl_stop = "none"' in to_toml(Optimiser(kl_stop=None))
    assert "window" not in to_toml(Settings(1))


def test_none_that_cannot_be_told_apart_is_refused():
    @dataclass(frozen=True)
    class Ambiguous:
        critic: str | None = "gru"

    with pytest.raises(ConfigError, match="critic = None cannot be written"):
        to_toml(Ambiguous(critic=None))


@pytest.mark.parametrize("value", [object(), (1, None), {"a": [b"bytes"]}])
def test_what_toml_cannot_hold_is_named(value):
    @dataclass(frozen=True)
    class Holder:
        value: Any

    with pytest.raises(ConfigError, match="cannot be written as TOML") as error:
        to_toml(Holder(value))
    assert error.value.what.startswith("value")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "seed = 1\n[optimiser]\nlerning_rate = 1.0",
            ["'optimiser.lerning_rate'", "Did you mean 'learning_rate'?"],
        ),
        ("seed = 1\nsed = 2", ["'sed'", "Did you mean 'seed'?", "Settings has no such field"]),
        ("", ["'seed' is missing", "integer"]),
        ("seed = 1.0", ["seed = 1.0 is of type float", "It has to be integer", "seed = 64"]),
        ("seed = true", ["seed = True is of type boolean", "integer"]),
        ('seed = "1"', ["seed = '1' is of type string"]),
        ("seed = 1979-05-27", ["of type date"]),
        ("seed = 1\nlog = 1", ["log = 1 is of type integer", "boolean", "log = true"]),
        ("seed = 1\nname = 5", ["name = 5", "string"]),
        ('seed = 1\nwindow = "wide"', ["window = 'wide'", "integer"]),
        ("seed = 1\nteacher = 5", ["teacher = 5", "Optimiser"]),
        ("seed = 1\noptimiser = 5", ["optimiser = 5", "a table with the fields of Optimiser"]),
        ('seed = 1\n[teacher]\nepochs = "4"', ["teacher.epochs = '4'", "epochs = 64"]),
        ('seed = 1\n[optimiser]\nlearning_rate = "fast"', ["optimiser.learning_rate = 'fast'", "float"]),
        (f"seed = 1\n[optimiser]\nlearning_rate = 1{'0' * 400}", ["optimiser.learning_rate", "float"]),
        ('seed = 1\n[optimiser]\nclip = "nrm"', ["optimiser.clip = 'nrm'", "Did you mean 'norm'?"]),
        ("seed = 1\n[optimiser]\nclip = 1", ["optimiser.clip = 1", "'norm', 'value'"]),
        ("seed = 1\ndepth = 4", ["depth = 4", "1, 2, 3"]),
        ("seed = 1\ndepth = true", ["depth = True"]),
        ('seed = 1\ntaps = [1, "2"]', ["taps[1] = '2'", "integer"]),
        ("seed = 1\ntaps = 3", ["taps = 3", "an array, each element integer"]),
        ("seed = 1\nsize = [1]", ["size = [1]", "an array of 2: integer, float"]),
        (
            "seed = 1\n[options]\nlength = [1]",
            ["options.length = [1]", "integer or float or boolean or string"],
        ),
        ("seed = 1\noptions = 1", ["options = 1", "a table"]),
        ("seed = 1\nname =\n", ["not valid TOML", "line 2"]),
        ("seed = 1\nseed = 2\n", ["not valid TOML", "line 2"]),
    ],
)
def test_each_mistake_is_named(text, parts):
    with pytest.raises(ConfigError) as error:
        from_toml(text, Settings)
    for part in parts:
        assert part in str(error.value)


def test_nothing_is_evaluated():
    with pytest.raises(ConfigError, match="of type string"):
        from_toml("""seed = "__import__('os').getpid()" """, Settings)


def test_dicts_from_python_may_hold_what_a_config_holds():
    given_ = {"seed": 1, "taps": (3,), "teacher": Optimiser(epochs=8), "window": None}
    assert from_dict(given_, Settings) == Settings(1, taps=(3,), teacher=Optimiser(epochs=8))


def test_fields_are_replaced_by_dotted_path():
    config = Settings(1, optimiser=Optimiser(kl_stop=None))
    changes = {"optimiser.learning_rate": 1, "options.length": 50, "teacher.epochs": 2, "seed": 5}
    changed = replace_fields(config, changes)
    optimiser = Optimiser(learning_rate=1.0, kl_stop=None)
    assert changed == Settings(5, options={"length": 50}, optimiser=optimiser, teacher=Optimiser(epochs=2))
    assert config == Settings(1, optimiser=Optimiser(kl_stop=None))
    assert replace_fields(config, {"optimiser.kl_stop": 0.1}).optimiser.kl_stop == 0.1
    assert replace_fields(changed, {"teacher": None}).teacher is None


def test_fields_are_replaced_at_once():
    """Neither change is possible without the other."""
    config = Optimiser(epochs=3)
    assert replace_fields(config, {"clip": "value", "epochs": 4}) == Optimiser(epochs=4, clip="value")


@pytest.mark.parametrize(
    ("path", "part"),
    [("optimiser.epoch", "Did you mean 'epochs'?"), ("seed.x", "'seed' is a value"), ("sede", "'seed'")],
)
def test_a_wrong_path_is_named(path, part):
    with pytest.raises(ConfigError) as error:
        replace_fields(Settings(1), {path: 1})
    assert repr(path) in error.value.what
    assert part in str(error.value)
