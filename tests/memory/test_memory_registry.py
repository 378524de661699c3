"""Names, options and errors: all of it before anything is drawn or compiled."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError, named_arrays
from throughtime.memory import (
    ACTIVATIONS,
    GRU,
    LSTM,
    MEMORIES,
    TDNN,
    Elman,
    Jordan,
    NoState,
    Readout,
    Stack,
    WithReadout,
    check_memory,
    make_memory,
    memory_options,
)

KEY = jax.random.key(0)


@pytest.mark.parametrize("name", MEMORIES)
def test_the_table_lists_exactly_the_options_of_the_class(name):
    spec = MEMORIES[name]
    parameters = inspect.signature(spec.cls).parameters.values()
    keywords = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} - {"dtype", "key"}
    assert memory_options(name).keys() == keywords
    for option, what in spec.options.items():
        default = spec.default(option)
        assert default is None or isinstance(default, what.kind)
        assert what.help


def test_the_table_is_frozen():
    with pytest.raises(TypeError):
        MEMORIES["mine"] = MEMORIES["gru"]


def test_one_layer_is_the_memory_itself_and_more_are_a_stack():
    assert isinstance(make_memory("gru", 2, 3, key=KEY), GRU)
    stack = make_memory("gru", 2, 3, num_layers=2, residual=True, key=KEY)
    assert isinstance(stack, Stack)
    assert [layer.input_size for layer in stack.layers] == [2, 3]
    assert not np.array_equal(stack.layers[0].weight_hh, stack.layers[1].weight_hh)
    assert "layers.1.weight_hh" in named_arrays(stack)
    assert isinstance(make_memory("gru", 3, 3, residual=True, key=KEY), Stack)


def test_parameters_have_the_names_of_the_field():
    assert set(named_arrays(Elman(2, 3, output_size=1, key=KEY))) == {
        "weight_xh",
        "weight_hh",
        "bias_h",
        "readout.weight_hy",
        "readout.bias_y",
    }
    shapes = {name: a.shape for name, a in named_arrays(Jordan(2, 3, output_size=1, key=KEY)).items()}
    assert shapes["weight_xh"] == (2, 3)
    assert shapes["weight_yh"] == (1, 3)
    assert shapes["readout.weight_hy"] == (3, 1)


def test_gates_by_name():
    assert GRU.gates == ("reset", "update", "candidate")
    assert LSTM.gates == ("input", "forget", "output", "candidate")
    gru, lstm = GRU(2, 3, key=KEY), LSTM(2, 3, peepholes=True, key=KEY)
    assert set(gru.gate("update")) == {"weight_xh", "weight_hh", "bias_h"}
    assert set(gru.gate("candidate")) == {"weight_xh", "weight_hh", "bias_h", "bias_hn"}
    assert lstm.gate("output")["weight_ch"].shape == (3,)
    assert "weight_ch" not in lstm.gate("candidate")
    with pytest.raises(ConfigError, match="Did you mean 'forget'"):
        lstm.gate("forgot")


def test_activations_may_be_callables():
    memory = Elman(1, 1, f=jnp.sin, output_size=1, g=jnp.cos, key=KEY)
    _, y = memory.step(memory.initial_state(1), jnp.ones((1, 1)))
    h = np.sin(np.asarray(memory.weight_xh))
    np.testing.assert_allclose(y, np.cos(h @ memory.readout.weight_hy), rtol=1e-5)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_by_name(name):
    x = np.array([-2.0, 0.0, 1.5], np.float32)
    expected = {
        "identity": x,
        "relu": [0.0, 0.0, 1.5],
        "sigmoid": 1 / (1 + np.exp(-x)),
        "softmax": np.exp(x) / np.exp(x).sum(),
        "softplus": np.log(1 + np.exp(x)),
        "tanh": np.tanh(x),
    }
    np.testing.assert_allclose(ACTIVATIONS[name](jnp.asarray(x)), expected[name], rtol=1e-5)


def test_a_tdnn_remembers_its_window_and_not_one_step_more():
    memory = TDNN(1, 2, taps=3, dilation=2, key=KEY)
    assert memory.delay == 4
    assert memory.initial_state(5).window.shape == (5, 4, 1)
    xs = jnp.zeros((7, 1, 1)).at[1].set(1.0)
    _, ys = memory.unroll(memory.initial_state(1), xs, jnp.zeros((7, 1), bool))
    assert [bool(np.any(y != 0)) for y in ys] == [False, True, False, True, False, True, False]


def test_none_has_no_state():
    assert make_memory("none", 2, 3, key=KEY).initial_state(4) == NoState()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gruu", {}, "unknown memory 'gruu'\nDid you mean 'gru'"),
        ("gru", {"chronos": 10.0}, "unknown option 'chronos' of memory 'gru'\nDid you mean 'chrono'"),
        ("none", {"learn_initial_state": True}, "unknown option 'learn_initial_state'"),
        ("gru", {"reset": "aftr"}, "reset is 'aftr'.*\nDid you mean 'after'"),
        ("elman", {"f": "tahn"}, "f is 'tahn'.*\nDid you mean 'tanh'"),
        ("tdnn", {"taps": "four"}, "taps is 'four', a str"),
        ("tdnn", {"taps": 2.5}, "taps is 2.5, a float"),
        ("tdnn", {"taps": True}, "taps is True, a bool"),
        ("lstm", {"peepholes": 1}, "peepholes is 1, a int"),
        ("gru", {"chrono": True}, "chrono is True, a bool"),
    ],
)
def test_a_wrong_name_or_type_is_explained(name, options, message):
    with pytest.raises(ConfigError, match=message):
        check_memory(name, **options)
    with pytest.raises(ConfigError, match=message):
        make_memory(name, 2, 3, key=KEY, **options)


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [
        ("gru", {"hidden_size": 0}, "hidden_size is 0"),
        ("gru", {"input_size": -1}, "input_size is -1"),
        ("gru", {"num_layers": 0}, "num_layers is 0"),
        ("gru", {"chrono": 1.0}, "chrono is 1.0"),
        ("tdnn", {"taps": 0}, "taps is 0"),
        ("tdnn", {"dilation": 0}, "dilation is 0"),
        ("elman", {"output_size": 0}, "output_size is 0"),
        ("jordan", {"output_size": -2}, "output_size is -2"),
    ],
)
def test_an_impossible_value_is_explained(name, sizes, message):
    with pytest.raises(ConfigError, match=message) as error:
        make_memory(name, **{"input_size": 2, "hidden_size": 3, "key": KEY, **sizes})
    assert error.value.mend


def test_an_int_does_for_a_float():
    check_memory("gru", chrono=100)


def test_layers_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="3 outputs lies under one with 2 inputs"):
        Stack([GRU(2, 3, key=KEY), GRU(2, 3, key=KEY)])
    with pytest.raises(ConfigError, match="no layers"):
        Stack([])


def test_a_readout_takes_the_dtype_of_its_memory():
    memory = WithReadout(GRU(2, 3, dtype=jnp.bfloat16, key=KEY), 4, "softmax", key=KEY)
    assert isinstance(memory.readout, Readout)
    assert memory.readout.weight_hy.dtype == jnp.bfloat16
    assert memory.readout.weight_hy.shape == (3, 4)
    assert memory.output_size == 4


@pytest.mark.parametrize(("sizes", "said"), [((0, 3), "needs an input_size"), ((2, 0), "needs a hidden_size")])
def test_a_size_below_one_is_named_with_its_article(sizes, said):
    with pytest.raises(ConfigError, match=said):
        make_memory("gru", *sizes, key=KEY)
