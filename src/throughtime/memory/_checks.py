"""Checks that every memory makes before it draws a weight, and before it reads a sequence."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

from throughtime.core import ConfigError, did_you_mean


def check_sizes(**sizes: int | None) -> None:
    """Raises ConfigError unless each size is at least 1 (None means that the option is not used)."""
    for name, size in sizes.items():
        if size is not None and size < 1:
            article = "an" if name[0] in "aeio" else "a"
            raise ConfigError(
                f"{name} is {size}", f"A memory needs {article} {name} of at least 1.", f"Set {name} to 1 or more."
            )


def check_choice(name: str, value: Any, known: Iterable[str]) -> None:
    """Raises ConfigError, with a suggestion, unless `value` is one of the `known` words."""
    known = tuple(known)
    if value not in known:
        raise ConfigError(f"{name} is {value!r}, which is not one of its values", "", did_you_mean(str(value), known))


def check_sequence(memory: Any, state: Any, xs: Any, resets: Any, taps: Any = None) -> None:
    """Raises ConfigError, with what was expected and what came, unless the arguments of `unroll` fit each other.

    Shapes and dtypes only, so that it costs nothing in a compiled function.
    """
    _check_input("xs", xs, ("T", "B", memory.input_size))
    T, B = xs.shape[:2]
    if getattr(resets, "shape", None) != (T, B) or resets.dtype != bool:
        raise ConfigError(
            f"resets is {_said(resets)}; expected bool[{T}, {B}], as xs is {_said(xs)}.",
            "resets[t, b] says that xs[t, b] is the first input of an episode.",
            "Give one flag for each step of each sequence, time first; without resets jnp.zeros(xs.shape[:2], bool).",
        )
    _check_rows("state", state, (B,), f"memory.initial_state({B}) makes one.")
    _check_rows("taps", taps, (T, B), "A tap is a tree like the state, with a leading T; or None.")


def check_targets(targets: Any, T: int) -> None:
    """Raises ConfigError unless every array of a tree of targets has T steps."""
    for leaf in jax.tree.leaves(targets):
        if jnp.shape(leaf)[:1] != (T,):
            raise ConfigError(
                f"An array of targets is {_said(leaf)}; expected [{T}, ...].",
                "There is one target for each step.",
                "Give arrays that have time first, as xs has it.",
            )


def check_step(memory: Any, state: Any, x: Any) -> None:
    """Raises ConfigError unless the arguments of `step` fit each other; shapes and dtypes only."""
    _check_input("x", x, ("B", memory.input_size))
    _check_rows("state", state, x.shape[:1], f"memory.initial_state({x.shape[0]}) makes one.")


def _check_input(name: str, x: Any, expected: tuple[Any, ...]) -> None:
    wanted = ", ".join(map(str, expected))
    shape = getattr(x, "shape", None)
    if shape is None or len(shape) != len(expected) or shape[-1] != expected[-1]:
        raise ConfigError(
            f"{name} is {_said(x)}; expected [{wanted}].",
            "Sequences are time-major: steps, then sequences, then features." if len(expected) == 3 else "",
            f"This memory reads {expected[-1]} features; a single sequence needs its batch axis: x[..., None, :].",
        )
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ConfigError(
            f"{name} is {_said(x)}; expected floating-point numbers.",
            "Weights multiply them, and gradients flow into them.",
            f"Write {name}.astype(jnp.float32), or jax.nn.one_hot for symbols.",
        )


def _check_rows(name: str, tree: Any, lead: tuple[int, ...], mend: str) -> None:
    for leaf in jax.tree.leaves(tree):
        if jnp.shape(leaf)[: len(lead)] != lead:
            wanted = ", ".join(map(str, lead))
            raise ConfigError(f"A leaf of {name} is {_said(leaf)}; expected [{wanted}, ...].", "", mend)


def _said(x: Any) -> str:
    """`float32[5, 2, 4]`, or the type of what is no array."""
    if not hasattr(x, "shape"):
        return f"a {type(x).__name__}"
    return f"{x.dtype}[{', '.join(map(str, x.shape))}]"
