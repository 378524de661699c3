"""What a world model is: a memory that predicts what an environment will show and pay, as functions over a batch.

    state = model.start(batch_size)                                  # nothing seen yet
    state = model.observe(state, action_tm1, obs_t, reset_t, key)    # filters in what happened
    state, r_tp1, c_tp1 = model.imagine(state, action_t, key)        # one step without looking
    obs_tp1 = model.decode(state, key)                               # what would be seen there

Time: the reward r_{t+1} is paid for action a_t and arrives together with the observation o_{t+1}; c_{t+1} is the
probability that the episode does not *terminate* with this step. A truncation is not predicted: it is a clock's.
"""

import math
from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.core import ConfigError, NonFiniteError
from throughtime.envs import Environment, Space
from throughtime.rl import Moments
from throughtime.world.data import Kind, Sequences


class Rollout(NamedTuple):
    """K imagined steps of B episodes. What follows a step with `alive` 0 has not happened."""

    observations: Float[Array, "K B O"]  # o_{t+1} … o_{t+K}
    rewards: Float[Array, "K B"]  # r_{t+1} … r_{t+K}, expected ones
    continuations: Float[Array, "K B"]  # c_{t+1} … c_{t+K}, probabilities


class Losses(NamedTuple):
    """What a model is trained on; means over all steps."""

    total: Float[Array, ""]
    observation: Float[Array, ""]  # negative log-likelihood, nats (of densities in standardised units)
    reward: Float[Array, ""]  # half the squared error in units of the rewards' variance; of bins cross-entropy, nats
    continuation: Float[Array, ""]  # cross-entropy, nats; ends count `end_weight` times
    dynamics: Float[Array, ""]  # KL of the latents, nats; 0 where there are none


class WorldModel(eqx.Module):
    """A recurrent model of an environment. States are NamedTuples of arrays `[B, ...]`; rows are independent.

    All methods are pure and can be jitted, vmapped and differentiated. Where `key` is None nothing is drawn: latents
    and observations are then the most probable ones.
    """

    observation_size: eqx.AbstractVar[int]  # O: numbers of a flattened observation
    action_space: eqx.AbstractVar[Space]

    @abstractmethod
    def start(self, batch_size: int) -> Any:
        """The state before anything was seen, leaves `[batch_size, ...]`."""

    @abstractmethod
    def observe(
        self,
        state: Any,
        action_tm1: Array,
        observation_t: Float[Array, "B O"],
        reset_t: Bool[Array, " B"],
        key: PRNGKeyArray | None = None,
    ) -> Any:
        """Reads what happened: the action that led here, and what is seen here.

        Args:
            state: at t − 1.
            action_tm1: a_{t−1} as the environment takes it: int32 `[B]`, int32 `[B, K]` or float32 `[B, A]`. Not
                read where `reset_t`.
            observation_t: o_t, flattened.
            reset_t: o_t is the first of an episode: the state is replaced with `start` before it is read.
            key: draws latents.

        Returns:
            The state at t, in which `imagine` takes a_t.
        """

    @abstractmethod
    def imagine(
        self, state: Any, action_t: Array, key: PRNGKeyArray | None = None
    ) -> tuple[Any, Float[Array, " B"], Float[Array, " B"]]:
        """One step without looking.

        Args:
            state: at t, of `observe` or of `imagine`.
            action_t: as `observe` takes it.
            key: draws latents.

        Returns:
            The state at t + 1, the expected reward r_{t+1} `[B]`, and the probability c_{t+1} `[B]` that the episode
            goes on (does not terminate).
        """

    @abstractmethod
    def decode(self, state: Any, key: PRNGKeyArray | None = None) -> Float[Array, "B O"]:
        """An observation in a state: drawn with a key, else the most probable one (a mean, a class)."""

    def open_loop(self, state: Any, actions: Array, key: PRNGKeyArray | None = None) -> tuple[Any, Rollout]:
        """Imagines along given actions.

        Args:
            state: at t, leaves `[B, ...]`.
            actions: a_t … a_{t+K−1}, `[K, B, ...]`.
            key: draws latents and observations.

        Returns:
            The state at t + K and what was imagined on the way.
        """
        keys = None if key is None else jax.random.split(key, (actions.shape[0], 2))

        def body(state: Any, inputs: Any) -> tuple[Any, Rollout]:
            action, keys = inputs
            latent, noise = (None, None) if keys is None else (keys[0], keys[1])
            state, reward, continuation = self.imagine(state, action, latent)
            return state, Rollout(self.decode(state, noise), reward, continuation)

        return jax.lax.scan(body, state, (actions, keys))

    def check_environment(self, env: Environment) -> None:
        """Refuses an environment whose actions or observations are not those of the model.

        Raises:
            ConfigError: another action space, or observations of another size.
        """
        if env.action_space != self.action_space:
            raise ConfigError(
                f"{env.name} takes actions of {env.action_space}, the world model those of {self.action_space}.",
                "A model knows the outcome of the actions that it was trained on, and of no others.",
                "Train a world model on this environment.",
            )
        shape = env.observation_space.shape
        if math.prod(shape) != self.observation_size:
            raise ConfigError(
                f"{env.name} has observations of shape {shape}, the world model reads {self.observation_size} numbers.",
                "A model predicts the observations that it was trained on.",
                "Train a world model on this environment.",
            )


class LearnedModel(WorldModel):
    """A world model that is learned from sequences, and can imagine how an episode begins."""

    kind: eqx.AbstractVar[Kind]  # of the observations
    observation_moments: eqx.AbstractVar[Moments]  # of continuous ones; of others as they were created
    reward_moments: eqx.AbstractVar[Moments]

    @abstractmethod
    def begin(self, batch_size: int, key: PRNGKeyArray | None = None) -> Any:
        """An imagined first moment of `batch_size` episodes: the state at t = 0, its observation given by `decode`."""

    @abstractmethod
    def loss(self, sequences: Sequences, key: PRNGKeyArray, start: Any = None) -> Losses:
        """What is minimised, by backpropagation through the whole sequences.

        Args:
            sequences: `[T, B]`.
            key: draws latents.
            start: the states before the first steps, leaves `[B, ...]`; `start(B)` where None, which is right where
                each sequence begins with an episode.
        """

    def scaled_by(self, sequences: Sequences) -> "LearnedModel":
        """The model in the units of these sequences: it learns standardised rewards and continuous observations."""
        model = eqx.tree_at(lambda m: m.reward_moments, self, self.reward_moments.update(sequences.rewards))
        if self.kind != "continuous":
            return model
        moments = self.observation_moments.update(sequences.successors)
        return eqx.tree_at(lambda m: m.observation_moments, model, moments)


def check_finite(rollout: Rollout) -> None:
    """Refuses an imagined rollout with a NaN or an infinity; for use outside of compiled programs.

    Raises:
        NonFiniteError: which quantity, and after how many steps.
    """
    for name, values in rollout._asdict().items():
        bad = ~jnp.isfinite(values).reshape(values.shape[0], -1).all(axis=1)
        if bool(bad.any()):
            raise NonFiniteError(
                f"The world model imagined {name} that are not finite, first at step {int(jnp.argmax(bad)) + 1}.",
                "Its weights are not finite, or open-loop prediction ran out of what it was trained on.",
                "Train it further or with a lower learning rate, or imagine fewer steps.",
            )
