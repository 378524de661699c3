"""Environments that live in Python, outside the compiled program: what a batch of them has to offer."""

from abc import abstractmethod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.envs.base import Environment


class HostState(NamedTuple):
    """What the compiled program holds of B Python environments: whose they are and how often they were stepped.

    The environments themselves cannot be copied, put back or saved: a step from an old state is refused.
    """

    session: Int[Array, " B"]  # the same in each row
    time: Int[Array, " B"]


class HostEnvironment(Environment[HostState, None]):
    """A Python environment, stepped a whole batch at a time through one callback inside the compiled loop.

    Training is the same compiled program as for environments in JAX; only `VectorEnvironment` knows the difference. The
    callback costs about 0.1 ms a batch. What differs: a run that is resumed begins new episodes, for nothing can put a
    Python environment back to where it stood.

    A subclass implements `reset_batch`, `step_batch`, `release` and `error_of`.
    """

    @abstractmethod
    def reset_batch(self, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, "B I"], HostState]:
        """Opens B environments (or takes idle ones) and resets each with a seed of its own, made from `key`."""

    @abstractmethod
    def step_batch(
        self, state: HostState, actions: Array
    ) -> tuple[
        Float[Array, "B I"], HostState, Float[Array, " B"], Bool[Array, " B"], Bool[Array, " B"], Float[Array, "B I"]
    ]:
        """One step in each, with a reset in the same step where an episode ended: the fields of a `VectorStep`.

        Once an environment has failed for good, each step ends each episode with a reward of NaN, so that whatever
        loop runs comes to its end; `error_of` then says what happened.
        """

    @abstractmethod
    def release(self, state: HostState) -> None:
        """Gives the environments of a state back: no step from it may follow."""

    @abstractmethod
    def error_of(self, state: HostState) -> Exception | None:
        """What made the environments of this state unusable, or None."""

    @property
    def default_params(self) -> None:
        """None: a Python environment has its arguments instead."""
        return

    def reset(self, key: PRNGKeyArray, params: Any = None) -> tuple[Array, HostState]:
        """A new episode in one environment, opened for it."""
        del params
        obs, state = self.reset_batch(key, 1)
        return obs[0], state

    def step(
        self, key: PRNGKeyArray, state: HostState, action: Array, params: Any = None
    ) -> tuple[Array, HostState, Array, Array, Array, dict[str, Any]]:
        """One step of the environment that `reset` opened; its randomness is its own, `key` is not used."""
        del key, params
        obs, state, reward, terminated, truncated, final = self.step_batch(state, jnp.asarray(action)[None])
        return obs[0], state, reward[0], terminated[0], truncated[0], {"final_observation": final[0]}

    def reset_env(self, key: PRNGKeyArray, params: Any) -> tuple[Array, HostState]:
        """The same as `reset`."""
        return self.reset(key, params)

    def step_env(self, key: PRNGKeyArray, state: HostState, action: Array, params: Any) -> Any:
        """Not to be had: a Python environment is reset in the same step."""
        raise self._cannot("be stepped without its reset", "Use step, or a VectorEnvironment.")

    def is_truncated(self, state: HostState, params: Any) -> Array:
        """Not to be had from the state alone."""
        raise self._cannot("tell from its state whether it was truncated", "Use what step returns.")

    def hidden_state(self, state: HostState) -> Array:
        """Not to be had: what a Python environment hides lies outside."""
        raise self._cannot("tell what it hides", "Belief probes need an environment written in JAX.")

    def _cannot(self, what: str, mend: str) -> ConfigError:
        return ConfigError(f"{self.name} cannot {what}.", "It is a Python environment, not functions on arrays.", mend)


def release(env: Environment, state: Any) -> None:
    """Gives Python environments back where `env` has any; nothing otherwise.

    Args:
        env: any environment.
        state: the environments' state, as `VectorEnvironment` returned it last.
    """
    if isinstance(env, HostEnvironment):
        env.release(jax.device_get(state))


def raise_error_of(env: Environment, state: Any) -> None:
    """Raises what made the Python environments of a state unusable; nothing where all is well."""
    if isinstance(env, HostEnvironment) and (error := env.error_of(jax.device_get(state))) is not None:
        raise error
