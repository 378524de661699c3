"""Environments of the package gymnax (1.0 and later): `gymnax:NAME`, compiled with the training as our own are."""

import dataclasses
import functools
import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from throughtime.core import ConfigError, did_you_mean
from throughtime.envs.adapters._build import Scalar
from throughtime.envs.adapters._extras import require
from throughtime.envs.base import Box, Discrete, Environment, Space


class _Facts(NamedTuple):
    env: Any  # gymnax's
    params: Any
    observation_space: Box
    labels: tuple[str, ...]
    flatten: Callable[[Any], Array]
    action_space: Space
    to_action: Callable[[Array], Array]
    state_dtypes: Any  # a tree like the state


@dataclasses.dataclass(frozen=True)
class GymnaxEnvironment(Environment[Any, Any]):
    """An environment of gymnax.

    Observations are flattened to float32 vectors: boxes row by row, Discrete one-hot, Dict and Tuple one part after
    another. Actions are Discrete, or boxes as vectors; bounds that differ from number to number become −1 … 1.

    Args:
        id: its name in gymnax.
        arguments: sorted pairs: fields of its parameters (max_steps_in_episode), others are its constructor's.

    Raises:
        ConfigError: gymnax is missing, an unknown name or argument, or a space that is not supported.
    """

    id: str
    arguments: tuple[tuple[str, Scalar], ...] = ()

    def __post_init__(self):
        _ = self._facts

    @property
    def _facts(self) -> _Facts:
        return _look(self.id, self.arguments)

    @property
    def name(self) -> str:
        """`gymnax:NAME`."""
        return f"gymnax:{self.id}"

    @property
    def default_params(self) -> Any:
        """Gymnax's own, with the arguments over them."""
        return self._facts.params

    @property
    def observation_space(self) -> Box:
        """The flattened observation."""
        return self._facts.observation_space

    @property
    def action_space(self) -> Space:
        """Discrete, or a vector."""
        return self._facts.action_space

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """By the names of the parts."""
        return self._facts.labels

    @property
    def max_episode_steps(self) -> int | None:
        """The parameter max_steps_in_episode."""
        limit = getattr(self.default_params, "max_steps_in_episode", None)
        return None if limit is None else int(limit)

    def reset_env(self, key: PRNGKeyArray, params: Any) -> tuple[Array, Any]:
        """A new episode."""
        with _lenient():
            obs, state = self._facts.env.reset_env(key, params)
            return self._facts.flatten(obs), _as(self._facts.state_dtypes, state)

    def step_env(
        self, key: PRNGKeyArray, state: Any, action: Array, params: Any
    ) -> tuple[Array, Any, Array, Array, dict[str, Any]]:
        """One step without reset."""
        facts = self._facts
        with _lenient():
            obs, state, reward, terminated, _ = facts.env.step_env(key, state, facts.to_action(action), params)
            state = _as(facts.state_dtypes, state)
            return facts.flatten(obs), state, _cast(reward, jnp.float32), _cast(terminated, jnp.bool_), {}

    def is_truncated(self, state: Any, params: Any) -> Array:
        """The time limit, as gymnax has it."""
        with _lenient():
            return _cast(self._facts.env.is_truncated(state, params), jnp.bool_)

    def hidden_state(self, state: Any) -> Array:
        """Not known: gymnax does not say which part of its state the observation hides."""
        raise ConfigError(
            f"{self.name} cannot tell what it hides.",
            "gymnax does not say which part of its state the observation leaves out.",
            "Write the environment as a class of your own, with a hidden_state.",
        )


def _lenient() -> ExitStack:
    """Gymnax mixes dtypes and ranks, which users (and our tests) may have forbidden."""
    stack = ExitStack()
    stack.enter_context(jax.numpy_dtype_promotion("standard"))
    stack.enter_context(jax.numpy_rank_promotion("allow"))
    return stack


def _cast(x: Any, dtype: Any) -> Array:
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return x
    return jax.lax.convert_element_type(jnp.asarray(x), dtype)  # strong, where gymnax's Python numbers are weak


def _as(dtypes: Any, state: Any) -> Any:
    """A state whose leaves keep their dtypes from reset to step, as a compiled loop needs it."""
    return jax.tree.map(lambda dtype, leaf: _cast(leaf, dtype), dtypes, state)


@functools.cache
def _look(id: str, arguments: tuple[tuple[str, Scalar], ...]) -> _Facts:
    """Builds the environment and reads its spaces."""
    name = f"gymnax:{id}"
    gymnax = require("gymnax", "gymnax", name)
    if id not in gymnax.registered_envs:
        raise ConfigError(f"There is no environment {name!r}.", "", did_you_mean(id, gymnax.registered_envs))
    fields = {field.name for field in dataclasses.fields(gymnax.make(id)[1])}
    given = dict(arguments)
    try:
        env, params = gymnax.make(id, **{key: value for key, value in given.items() if key not in fields})
        params = dataclasses.replace(params, **{key: value for key, value in given.items() if key in fields})
    except Exception as error:  # constructors raise whatever they please
        raise ConfigError(
            f"{name} cannot be built with {given}.",
            f"{type(error).__name__}: {error}",
            f"Its parameters are {', '.join(sorted(fields))}; other arguments are its constructor's.",
        ) from error
    parts = list(_parts(env.observation_space(params), "", name))
    box = Box(min(p.low for p in parts), max(p.high for p in parts), (sum(p.size for p in parts),))

    def flatten(obs: Any) -> Array:
        rows = [part.flatten(functools.reduce(lambda o, key: o[key], part.path, obs)) for part in parts]
        return jnp.concatenate(rows) if len(rows) > 1 else rows[0]

    action_space, to_action = _actions(env.action_space(params), name)
    with _lenient():
        key = jax.eval_shape(lambda: jax.random.key(0))
        _, state = jax.eval_shape(env.reset_env, key, params)
        action = jax.ShapeDtypeStruct(
            action_space.shape, jnp.int32 if isinstance(action_space, Discrete) else jnp.float32
        )
        state = jax.eval_shape(lambda k, s, a: env.step_env(k, s, to_action(a), params)[1], key, state, action)
    dtypes = jax.tree.map(lambda leaf: leaf.dtype, state)
    labels = tuple(label for part in parts for label in part.labels)
    return _Facts(env, params, box, labels, flatten, action_space, to_action, dtypes)


class _Part(NamedTuple):
    path: tuple[Any, ...]
    size: int
    low: float
    high: float
    labels: tuple[str, ...]
    flatten: Callable[[Any], Array]


def _parts(space: Any, label: str, owner: str, path: tuple[Any, ...] = ()) -> list[_Part]:
    """The boxes and one-hots of a gymnax space, from left to right."""
    kind, name = type(space).__name__, label or "observation"
    if kind in ("Dict", "Tuple"):
        inner = space.spaces.items() if kind == "Dict" else enumerate(space.spaces)
        return [
            part
            for key, value in inner
            for part in _parts(value, f"{label}.{key}" if label else str(key), owner, (*path, key))
        ]
    if kind == "Discrete":
        labels = tuple(f"{name} = {i}" for i in range(space.n))
        return [_Part(path, space.n, 0.0, 1.0, labels, lambda o: jax.nn.one_hot(o, space.n, dtype=jnp.float32))]
    if kind == "Box":
        size = math.prod(space.shape)
        labels = (name,) if size == 1 else tuple(f"{name} {i}" for i in range(size))
        low, high = float(np.min(space.low)), float(np.max(space.high))
        return [_Part(path, size, low, high, labels, lambda o: _cast(o, jnp.float32).reshape(size))]
    raise ConfigError(
        f"{owner}: the observation space is a {kind}.",
        "A network reads vectors; supported are Box, Discrete, Dict and Tuple.",
        "Wrap the environment so that it shows one of these.",
    )


def _actions(space: Any, owner: str) -> tuple[Space, Callable[[Array], Array]]:
    """The action space as ours, and the way from our actions to gymnax's."""
    kind = type(space).__name__
    if kind == "Discrete":
        return Discrete(space.n), lambda action: action
    if kind == "Box":
        size = math.prod(space.shape)
        low, high = (np.broadcast_to(np.asarray(x, np.float32).reshape(-1), (size,)) for x in (space.low, space.high))
        if np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all():
            if (low == low[0]).all() and (high == high[0]).all():
                return Box(float(low[0]), float(high[0]), (size,)), lambda a: a.reshape(space.shape)
            middle, half = jnp.asarray(0.5 * (low + high)), jnp.asarray(0.5 * (high - low))
            return Box(-1.0, 1.0, (size,)), lambda a: (middle + half * a).reshape(space.shape)
    raise ConfigError(
        f"{owner}: the action space is {space}.",
        "A policy draws from Discrete, or from a Box with finite bounds.",
        "Wrap the environment so that it takes one of these.",
    )
