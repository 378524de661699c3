"""What one step of a memory does with each parameter, read from its traced program.

A drawing says which weight lies on which edge. Nothing of that is written down per memory: the step is traced to
a jaxpr, and each value in it is followed back to where it came from. A *use* of a parameter is a product of
something made of parameters alone with something that depends on data (the input or a part of the state).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.extend.core as jex

from throughtime.memory import Memory

INPUT = "x"

_CONTRACTIONS = ("dot_general", "conv_general_dilated")
_PRODUCTS = (*_CONTRACTIONS, "mul")


@dataclass(frozen=True)
class Use:
    """A product with a parameter."""

    parameters: frozenset[str]
    reads: frozenset[str]  # INPUT and names of state parts that the other factor depends on
    after: bool  # whether the other factor went through a product with a parameter already
    contracts: bool  # a matrix product; otherwise element by element


@dataclass(frozen=True)
class Trace:
    """One step: shapes by name, the uses of parameters, and which of them each result depends on."""

    parameters: Mapping[str, tuple[int, ...]]
    state: Mapping[str, tuple[int, ...]]  # by dotted path, without the batch axis
    uses: tuple[Use, ...]
    result_uses: Mapping[str, frozenset[int]]  # by state part: indices of the uses that its new value depends on
    is_output: frozenset[str]  # the state parts whose new value is the output itself
    learned: frozenset[str]  # the state parts whose initial value is a parameter


@dataclass(frozen=True)
class _Origin:
    data: frozenset[str] = frozenset()
    parameters: frozenset[str] = frozenset()  # of a value made of parameters alone
    uses: frozenset[int] = frozenset()


def trace_step(memory: Memory) -> Trace:
    """Traces `memory.step`; the memory's arrays may be shapes (`jax.ShapeDtypeStruct`), nothing is computed."""
    shapes = eqx.filter_eval_shape(lambda m: m, memory)
    is_shape = lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct)  # noqa: E731
    dynamic, static = eqx.partition(shapes, is_shape)
    named = jax.tree_util.tree_flatten_with_path(dynamic)[0]
    names = [_dotted(path) for path, _ in named]
    floats = [leaf for _, leaf in named if jax.numpy.issubdtype(leaf.dtype, jax.numpy.inexact)]
    dtype = floats[0].dtype if floats else jax.numpy.float32
    state = eqx.filter_eval_shape(lambda m: m.initial_state(1), shapes)
    x = jax.ShapeDtypeStruct((1, memory.input_size), dtype)
    parts = [(_dotted(path), leaf.shape[1:]) for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]]

    def step(dynamic: Any, state: Any, x: Any) -> Any:
        return eqx.combine(dynamic, static).step(state, x)

    closed = jax.make_jaxpr(step)(dynamic, state, x)
    given = [
        *(_Origin(parameters=frozenset({name})) for name in names),
        *(_Origin(data=frozenset({name})) for name, _ in parts),
        _Origin(data=frozenset({INPUT})),
    ]
    uses: list[Use] = []
    results = _follow(closed.jaxpr, given, uses)
    output = closed.jaxpr.outvars[-1]
    return Trace(
        parameters={name: leaf.shape for name, (_, leaf) in zip(names, named, strict=True)},
        state=dict(parts),
        uses=tuple(uses),
        result_uses={name: origin.uses for (name, _), origin in zip(parts, results, strict=False)},
        is_output=frozenset(name for (name, _), var in zip(parts, closed.jaxpr.outvars, strict=False) if var is output),
        learned=_learned(dynamic, static, [name for name, _ in parts]),
    )


def _learned(dynamic: Any, static: Any, parts: list[str]) -> frozenset[str]:
    closed = jax.make_jaxpr(lambda d: eqx.combine(d, static).initial_state(1))(dynamic)
    given = [_Origin(parameters=frozenset({"parameter"})) for _ in closed.jaxpr.invars]
    results = _follow(closed.jaxpr, given, [])
    return frozenset(name for name, origin in zip(parts, results, strict=True) if origin.parameters)


def _follow(jaxpr: Any, given: list[_Origin], uses: list[Use]) -> list[_Origin]:
    """The origins of a jaxpr's results; `uses` grows by what is found on the way."""
    origins: dict[Any, _Origin] = dict(zip(jaxpr.invars, given, strict=True))

    def origin(atom: Any) -> _Origin:
        return _Origin() if isinstance(atom, jex.Literal) else origins.get(atom, _Origin())

    for equation in jaxpr.eqns:
        operands = [origin(atom) for atom in equation.invars]
        inner = _inner(equation)
        if inner is not None:
            results = _follow(inner, operands, uses)
        else:
            results = [_combine(equation, operands, uses)] * len(equation.outvars)
        origins.update(zip(equation.outvars, results, strict=True))
    return [origin(atom) for atom in jaxpr.outvars]


def _inner(equation: Any) -> Any:
    """The program inside a call (jit, scan, custom derivatives) whose arguments are the call's, one to one."""
    for value in equation.params.values():
        inner = value.jaxpr if isinstance(value, jex.ClosedJaxpr) else value
        if isinstance(inner, jex.Jaxpr) and len(inner.invars) == len(equation.invars):
            return inner if len(inner.outvars) == len(equation.outvars) else None
    return None


def _combine(equation: Any, operands: list[_Origin], uses: list[Use]) -> _Origin:
    data = frozenset[str]().union(*(o.data for o in operands))
    parameters = frozenset[str]().union(*(o.parameters for o in operands))
    before = frozenset[int]().union(*(o.uses for o in operands))
    if not data:
        return _Origin(parameters=parameters)
    if equation.primitive.name in _PRODUCTS and parameters:
        contracts = equation.primitive.name in _CONTRACTIONS
        uses.append(Use(parameters, data, bool(before), contracts))
        before |= {len(uses) - 1}
    return _Origin(data=data, uses=before)


def _dotted(path: tuple) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")
