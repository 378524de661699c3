"""State estimation: a memory that compresses what was seen and done, learned by prediction alone, then frozen.

The memory reads observation and previous action at each step; a small network reads its output and the present action,
and predicts the next observation and the reward, by squared error. No reward is maximised: the data come from random
actions. What predicts the future of an observation-action history is a state of it (Littman, Sutton & Singh 2001,
"Predictive representations of state"; Ha & Schmidhuber 2018, "World models").

`FrozenMemory` is then the environment as seen through that memory: its observation is the memory's output.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.agents.action_mask import ActionMask, mask_of
from throughtime.agents.network import NetworkConfig, Tower
from throughtime.core import ConfigError
from throughtime.envs import Box, Drawing, Environment, MultiDiscrete, Space, VectorEnvironment, Wrapper
from throughtime.memory import Readout
from throughtime.rl import Categorical, Moments, MultiCategorical, action_features, action_width, random_actions


@dataclass(frozen=True)
class EstimatorConfig:
    """How the memory learns to predict."""

    rows: int = 512
    """Sequences of random actions that it learns from."""
    length: int = 128
    """Steps of each."""
    updates: int = 2_000
    """Gradient steps."""
    batch_rows: int = 64
    """Sequences of each gradient step."""
    learning_rate: float = 2e-3
    """Adam's, at the start; it falls to zero by a cosine."""

    def __post_init__(self):
        for name in ("rows", "length", "updates", "batch_rows", "learning_rate"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} = {getattr(self, name)}", "It has to be positive.", f"Raise {name}.")


class History(NamedTuple):
    """Random actions and what came of them, T steps in each of B rows."""

    observations: Float[Array, "T B F"]
    actions: Float[Array, "T B A"]  # one-hot, or in units of the action range
    resets: Bool[Array, "T B"]
    next_observations: Float[Array, "T B F"]  # the final one where the episode ended
    rewards: Float[Array, "T B"]


class Estimator(eqx.Module):
    """Encoder → memory, and the network that predicts from it."""

    tower: Tower
    hidden: Readout
    prediction: Readout
    observation_moments: Moments
    reward_moments: Moments
    action_space: Space = eqx.field(static=True)
    mask: ActionMask | None = eqx.field(static=True)

    def __init__(self, env: Environment, config: NetworkConfig, key: PRNGKeyArray):
        """A fresh estimator.

        Args:
            env: gives the spaces.
            config: encoder and memory; the rest of it is not read.
            key: for the random weights.
        """
        F = math.prod(env.observation_space.shape)
        A = action_width(env.action_space)
        self.mask = mask_of(env)
        key_tower, key_hidden, key_prediction = jax.random.split(key, 3)
        self.tower = Tower(F + A, config, key_tower)
        self.hidden = Readout(self.tower.output_size + A, 64, "tanh", key=key_hidden)
        self.prediction = Readout(64, F + 1, key=key_prediction)
        self.observation_moments, self.reward_moments = Moments.create((F,)), Moments.create(())
        self.action_space = env.action_space

    def encode_action(self, action: Array) -> Float[Array, "*batch A"]:
        """An action as the environment takes it → as the network reads it."""
        return action_features(self.action_space, action)

    def inputs(self, observation: Float[Array, "*batch F"], before: Float[Array, "*batch A"]) -> Array:
        """Standardised observation and the encoded action before it (zeros at an episode's first step)."""
        return jnp.concatenate([self.observation_moments.standardise(observation), before], axis=-1)

    def predictions(self, history: History) -> Float[Array, "T B P"]:
        """The next observation and the reward of each step, standardised, one behind the other."""
        before = jnp.concatenate([jnp.zeros_like(history.actions[:1]), history.actions[:-1]])
        before = jnp.where(history.resets[..., None], 0.0, before)
        state = self.tower.initial_state(history.resets.shape[1])
        _, ys = self.tower.unroll(state, self.inputs(history.observations, before), history.resets)
        return self.prediction(self.hidden(jnp.concatenate([ys, history.actions], axis=-1)))

    def targets(self, history: History) -> Float[Array, "T B P"]:
        """What `predictions` should say."""
        rewards = self.reward_moments.standardise(history.rewards)
        return jnp.concatenate(
            [self.observation_moments.standardise(history.next_observations), rewards[..., None]], axis=-1
        )

    def standardised_by(self, history: History) -> "Estimator":
        """This estimator with the moments of a history."""
        moments = self.observation_moments.update(history.observations), self.reward_moments.update(history.rewards)
        return eqx.tree_at(lambda e: (e.observation_moments, e.reward_moments), self, moments)


def random_history(env: Environment, estimator: Estimator, config: EstimatorConfig, key: PRNGKeyArray) -> History:
    """Acts at random, uniformly over the action space, or what an action mask leaves of it.

    Args:
        env: where.
        estimator: encodes the actions.
        config: how many rows and steps.
        key: for actions and environments.
    """
    vector, space, mask = VectorEnvironment(env, config.rows), env.action_space, estimator.mask
    key_reset, key_actions, key_steps = jax.random.split(key, 3)

    @jax.jit
    def run() -> History:
        observation, state = vector.reset(key_reset)
        shape = (config.length, config.rows)
        if mask is None:
            actions = random_actions(space, key_actions, shape)
        else:
            actions = jax.random.uniform(key_actions, (*shape, *space.shape))  # noise: which of those allowed

        def body(carry, inputs):
            state, observation, reset = carry
            now, action = observation.reshape(config.rows, -1), inputs[1]
            if mask is not None:
                action = _uniform(space, mask.allowed(now)).sample(action)
            out = vector.step(inputs[0], state, action)
            after = out.final_observation.reshape(config.rows, -1)
            row = History(now, estimator.encode_action(action), reset, after, out.reward)
            return (out.state, out.obs, out.terminated | out.truncated), row

        carry = (state, observation, jnp.ones(config.rows, bool))
        return jax.lax.scan(body, carry, (jax.random.split(key_steps, config.length), actions))[1]

    return run()


def _uniform(space: Space, allowed: Bool[Array, "B A"]) -> Categorical | MultiCategorical:
    logits = jnp.zeros(allowed.shape)
    each = MultiCategorical(logits, space.sizes) if isinstance(space, MultiDiscrete) else Categorical(logits)
    return each.restricted(allowed)


def train_estimator(estimator: Estimator, history: History, config: EstimatorConfig, key: PRNGKeyArray) -> Estimator:
    """Learns to predict, by backpropagation through whole sequences; one compiled loop.

    Args:
        estimator: fresh.
        history: what to learn from.
        config: how.
        key: of the batches.
    """
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.updates))
    )
    estimator = estimator.standardised_by(history)
    learned, fixed = eqx.partition((estimator.tower, estimator.hidden, estimator.prediction), eqx.is_inexact_array)

    def put(learned: Any) -> Estimator:
        parts = eqx.combine(learned, fixed)
        return eqx.tree_at(lambda e: (e.tower, e.hidden, e.prediction), estimator, parts)

    def loss(learned: Any, batch: History) -> Float[Array, ""]:
        estimator = put(learned)
        return jnp.mean((estimator.predictions(batch) - estimator.targets(batch)) ** 2)

    @jax.jit
    def run(learned: Any, history: History) -> Any:
        def body(i, carry):
            learned, state = carry
            rows = jax.random.randint(jax.random.fold_in(key, i), (config.batch_rows,), 0, history.resets.shape[1])
            gradient = jax.grad(loss)(learned, jax.tree.map(lambda x: x[:, rows], history))
            with jax.numpy_dtype_promotion("standard"):  # optax mixes integers and floats
                updates, state = optimiser.update(gradient, state)
            return eqx.apply_updates(learned, updates), state

        return jax.lax.fori_loop(0, config.updates, body, (learned, optimiser.init(learned)))[0]

    return put(run(learned, history))


def explained(estimator: Estimator, history: History) -> tuple[float, float]:
    """R² of the next observation (mean over its numbers that vary) and of the reward, on a history not learned from."""

    @jax.jit
    def run(history: History) -> tuple[Array, Array]:
        said, true = estimator.predictions(history), estimator.targets(history)
        return jnp.mean((said - true) ** 2, axis=(0, 1)), jnp.var(true, axis=(0, 1))

    error, variance = (x.astype(float) for x in jax.device_get(run(history)))
    varies = variance > 1e-6
    r2 = [1 - e / v if ok else float("nan") for e, v, ok in zip(error, variance, varies, strict=True)]
    seen = [r for r, ok in zip(r2[:-1], varies[:-1], strict=True) if ok]
    return float(sum(seen) / max(len(seen), 1)), float(r2[-1])


class FrozenState(NamedTuple):
    """The environment's state, and the frozen memory's."""

    environment: Any
    memory: Any


@dataclass(frozen=True, eq=False)
class FrozenMemory(Wrapper[FrozenState]):
    """An environment seen through a frozen memory: the observation is what the memory puts out, and an action mask.

    A policy without any memory then has one, which its own training does not change. The memory starts afresh with each
    episode, and reads each observation once, before the policy sees the result: also the final one of an episode.

    Args:
        env: the environment.
        estimator: its memory; compared by identity.
    """

    estimator: Estimator

    # `eq=False` alone would leave `Environment`'s own, which compares no fields: all frozen memories would be equal,
    # and what was compiled for one would serve another, with the first one's weights.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    @property
    def name(self) -> str:
        """The environment's, and that it is seen through a frozen memory."""
        return f"{self.env.name} through a frozen memory"

    @property
    def observation_space(self) -> Box:
        """The memory's output `[H]`, or with an action mask `[H + A]`."""
        mask = self.estimator.mask
        return Box(-float("inf"), float("inf"), (self.estimator.tower.output_size + (mask.size if mask else 0),))

    def _read(self, memory: Any, observation: Array, before: Array) -> tuple[Any, Float[Array, " H"]]:
        x = self.estimator.inputs(observation.reshape(-1), before)
        memory, y = self.estimator.tower.step(memory, x[None])
        mask = self.estimator.mask
        return memory, y[0] if mask is None else jnp.concatenate([y[0], observation.reshape(-1)[mask.start :]])

    def reset_env(self, key: PRNGKeyArray, params: Any) -> tuple[Float[Array, " H"], FrozenState]:
        """A new episode, and a fresh memory that has read its first observation."""
        observation, state = self.env.reset_env(key, params)
        width = self.estimator.tower.input_size - observation.size
        memory, y = self._read(self.estimator.tower.initial_state(1), observation, jnp.zeros(width))
        return y, FrozenState(state, memory)

    def step_env(
        self, key: PRNGKeyArray, state: FrozenState, action: Array, params: Any
    ) -> tuple[Float[Array, " H"], FrozenState, Array, Array, dict[str, Any]]:
        """One step of the environment, and of the memory."""
        observation, inner, reward, terminated, info = self.env.step_env(key, state.environment, action, params)
        memory, y = self._read(state.memory, observation, self.estimator.encode_action(action))
        return y, FrozenState(inner, memory), reward, terminated, info

    def is_truncated(self, state: FrozenState, params: Any) -> Array:
        """As the environment says."""
        return self.env.is_truncated(state.environment, params)

    def hidden_state(self, state: FrozenState) -> Array:
        """The environment's."""
        return self.env.hidden_state(state.environment)

    def draw(self, state: FrozenState) -> Drawing | None:
        """As the environment draws it."""
        return self.env.draw(state.environment)

    @property
    def optimal_return(self) -> float | None:
        """The environment's: the memory adds nothing to what its history holds."""
        return self.env.optimal_return
