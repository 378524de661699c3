"""The table of memories: a name and plain options, as a config file carries them, become a memory."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import PRNGKeyArray

from throughtime.core import ConfigError, did_you_mean
from throughtime.memory._checks import check_choice, check_sizes
from throughtime.memory.activations import ACTIVATIONS
from throughtime.memory.base import Memory
from throughtime.memory.elman import Elman
from throughtime.memory.gru import GRU
from throughtime.memory.jordan import Jordan
from throughtime.memory.lru import LRU
from throughtime.memory.lstm import LSTM
from throughtime.memory.minimal import MinGRU, MinLSTM
from throughtime.memory.none import Memoryless
from throughtime.memory.stack import Stack
from throughtime.memory.tdnn import TDNN

Plain = str | int | float | bool


@dataclass(frozen=True)
class Option:
    """One option of a memory."""

    kind: type  # str, int, float or bool; a float takes an int too
    help: str
    choices: tuple[str, ...] = ()  # the words a str may be


@dataclass(frozen=True)
class MemorySpec:
    """What the registry knows of a memory."""

    cls: type[Memory]
    summary: str
    options: Mapping[str, Option] = field(default_factory=dict)
    variants: tuple[Mapping[str, Plain], ...] = ({},)  # the options under which the law tests run it

    def default(self, option: str) -> Plain | None:
        """The value of an option that is not given; None means that it is off."""
        return inspect.signature(self.cls).parameters[option].default


_WORDS = tuple(ACTIVATIONS)
_F = Option(str, "hidden activation", _WORDS)
_G = Option(str, "output activation", _WORDS)
_OUTPUT_SIZE = Option(int, "outputs of the readout y = g(h W_hy + b_y)")
_CHRONO = Option(float, "T_max in steps of the chrono initialisation (about the longest dependency)")
_LEARN = Option(bool, "whether the initial state is a parameter; otherwise it is zero")
_SCAN = Option(str, "whether time is unrolled step by step or all steps at once", ("serial", "parallel"))

MEMORIES: Mapping[str, MemorySpec] = MappingProxyType(
    {
        "elman": MemorySpec(
            Elman,
            "simple recurrent network: the hidden state is fed back",
            {
                "f": _F,
                "g": _G,
                "output_size": _OUTPUT_SIZE,
                "spectral_radius": Option(float, "ρ: the recurrent matrix is ρ times an orthogonal one"),
                "learn_initial_state": _LEARN,
            },
            (
                {},
                {"f": "relu", "output_size": 2},
                {"g": "sigmoid", "output_size": 2, "learn_initial_state": True},
            ),
        ),
        "jordan": MemorySpec(
            Jordan,
            "simple recurrent network: the output is fed back",
            {"f": _F, "g": _G, "output_size": _OUTPUT_SIZE, "learn_initial_state": _LEARN},
            ({}, {"f": "sigmoid", "g": "tanh", "output_size": 2, "learn_initial_state": True}),
        ),
        "lstm": MemorySpec(
            LSTM,
            "long short-term memory",
            {
                "peepholes": Option(bool, "whether the gates see the cell state"),
                "forget_bias": Option(float, "the forget gate's bias at the start"),
                "chrono": _CHRONO,
                "learn_initial_state": _LEARN,
            },
            ({}, {"peepholes": True, "chrono": 10.0, "learn_initial_state": True}),
        ),
        "gru": MemorySpec(
            GRU,
            "gated recurrent unit",
            {
                "reset": Option(str, "whether the reset gate applies after or before the product", ("after", "before")),
                "chrono": _CHRONO,
                "learn_initial_state": _LEARN,
            },
            ({}, {"reset": "before", "chrono": 10.0, "learn_initial_state": True}),
        ),
        "lru": MemorySpec(
            LRU,
            "linear recurrent unit: a diagonal recurrence with complex decays",
            {
                "r_min": Option(float, "inner radius of the ring in which the decays start"),
                "r_max": Option(float, "outer radius of the ring: the nearer to 1, the longer the memory"),
                "max_phase": Option(float, "largest angle of a decay at the start, in radians"),
                "scan": _SCAN,
                "learn_initial_state": _LEARN,
            },
            ({}, {"scan": "parallel", "learn_initial_state": True}),
        ),
        "mingru": MemorySpec(
            MinGRU,
            "GRU with gates of the input alone: linear in its state",
            {"chrono": _CHRONO, "scan": _SCAN, "learn_initial_state": _LEARN},
            ({}, {"scan": "parallel", "learn_initial_state": True}),
        ),
        "minlstm": MemorySpec(
            MinLSTM,
            "LSTM with gates of the input alone: linear in its state",
            {
                "forget_bias": Option(float, "the forget gate's bias at the start"),
                "chrono": _CHRONO,
                "scan": _SCAN,
                "learn_initial_state": _LEARN,
            },
            ({"learn_initial_state": True}, {"scan": "parallel"}),
        ),
        "tdnn": MemorySpec(
            TDNN,
            "time-delay network: a window of past inputs",
            {
                "taps": Option(int, "inputs that each output sees, the present one included"),
                "dilation": Option(int, "steps from one tap to the next"),
                "f": _F,
                "learn_initial_state": _LEARN,
            },
            ({"taps": 3}, {"taps": 1}, {"taps": 3, "dilation": 2, "f": "relu", "learn_initial_state": True}),
        ),
        "none": MemorySpec(Memoryless, "no memory: a feed-forward layer", {"f": _F}),
    }
)


def memory_options(name: str) -> Mapping[str, Option]:
    """The options of a memory, by name.

    Args:
        name: one of `MEMORIES`.

    Raises:
        ConfigError: no memory has this name.
    """
    return _spec(name).options


def make_memory(
    name: str,
    input_size: int,
    hidden_size: int,
    *,
    num_layers: int = 1,
    residual: bool = False,
    dtype: DTypeLike = jnp.float32,
    key: PRNGKeyArray,
    **options: Plain,
) -> Memory:
    """A memory by name; everything is checked before a weight is drawn.

    Args:
        name: one of `MEMORIES`.
        input_size: I, features of an input.
        hidden_size: H, hidden units of each layer.
        num_layers: layers on top of each other, all with the same options.
        residual: whether each layer's input is added to its output where both have the same size.
        dtype: dtype of all parameters and of the state.
        key: for the random weights.
        **options: plain values; `memory_options(name)` lists them.

    Returns:
        The memory itself for one layer without a residual connection, else a `Stack`.

    Raises:
        ConfigError: an unknown name or option, a value of the wrong type, or an impossible one.
    """
    check_memory(name, **options)
    known = MEMORIES[name].options
    options = {option: known[option].kind(value) for option, value in options.items()}  # a float may come as an int
    check_sizes(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
    cls: Any = MEMORIES[name].cls
    layers, size = [], input_size
    for layer_key in jax.random.split(key, num_layers):
        layers.append(cls(size, hidden_size, dtype=dtype, key=layer_key, **options))
        size = layers[-1].output_size
    return layers[0] if num_layers == 1 and not residual else Stack(layers, residual=residual)


def check_memory(name: str, **options: Any) -> None:
    """Checks a memory's name and the names and types of its options.

    Raises:
        ConfigError: an unknown name or option, or a value of the wrong type.
    """
    known = _spec(name).options
    for option, value in options.items():
        if option not in known:
            raise ConfigError(
                f"unknown option {option!r} of memory {name!r}",
                "",
                did_you_mean(option, known) if known else f"{name!r} has no options.",
            )
        kind = known[option].kind
        accepted = (int, float) if kind is float else (kind,)
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            raise ConfigError(
                f"{option} is {value!r}, a {type(value).__name__}",
                f"The option {option!r} of memory {name!r} ({known[option].help}) is a {kind.__name__}.",
                f"Write it as a {kind.__name__}.",
            )
        if known[option].choices:
            check_choice(option, value, known[option].choices)


def _spec(name: str) -> MemorySpec:
    if name not in MEMORIES:
        raise ConfigError(f"unknown memory {name!r}", "", did_you_mean(name, MEMORIES))
    return MEMORIES[name]
