"""Learning a world model from an environment, as an algorithm: act at random, store, predict.

One iteration plays `rollout_length` steps from the start of an episode in each of `num_envs` environments, keeps these
sequences, and takes `updates` gradient steps on sequences drawn from all that are kept. The run's policy is what acted:
random. What the run is for is its model: to dream in (`world:RUN`), and to plan in.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.agents.agent import Learning, Words, policy_key, run_iterations
from throughtime.agents.model_learner_config import WorldModelAgentConfig
from throughtime.agents.network import NetworkConfig
from throughtime.agents.policy import Policy
from throughtime.agents.preflight import Fault, find_fault
from throughtime.agents.rollout import Actors
from throughtime.agents.world_network import WorldNetwork
from throughtime.core import ConfigError
from throughtime.envs import Environment, HostEnvironment, VectorEnvironment
from throughtime.gradients import Guard, parameter_names
from throughtime.world import BEHAVIOURS, MemoryConfig, Sequences, build_model, observation_kind
from throughtime.world.data import play
from throughtime.world.learning import Training, cosine, learn_step, start_training


class Metrics(NamedTuple):
    """Of one iteration; losses are means over its gradient steps."""

    episodes: Array
    episode_return: Array  # mean over the episodes that ended in this iteration; NaN where none
    episode_length: Array
    loss: Array
    observation_loss: Array  # nats
    reward_loss: Array  # as `Losses.reward`
    continuation_loss: Array  # nats
    dynamics_loss: Array  # KL of the latents, nats
    skipped_updates: Array
    learning_rate: Array  # after the last update


class ModelLearnerState(NamedTuple):
    """Everything that a checkpoint has to hold for a run to go on bit for bit, the sequences included."""

    policy: Policy  # its network holds the model
    training: Training
    actors: Actors  # where the last iteration ended; the next one begins new episodes
    sequences: Sequences  # [T, N, ...], oldest overwritten first
    key: PRNGKeyArray
    iteration: Int[Array, ""]

    @property
    def guard(self) -> Guard:
        """Of the training."""
        return self.training.guard


class ModelLearner:
    """A world model of one environment, learned from random behaviour.

    Args:
        env: the environment.
        config: model and learning.
        network: gives the model's memory (its name, sizes and options); the rest of it is not read.

    Raises:
        ConfigError: settings that cannot work together, or a Python environment.
    """

    words = Words(
        forward=("loss",),
        replayed="predictions",
        broken="What is learned from would not be what happened.",
        calmer="Lower the learning rate or gradient_clip.",
    )

    def __init__(self, env: Environment, config: WorldModelAgentConfig, network: NetworkConfig):
        if isinstance(env, HostEnvironment):
            raise ConfigError(
                f"--algo world-model on {env.name}.",
                "Each iteration begins new episodes in the compiled program; a Python environment is opened outside.",
                "Collect sequences and learn from them with throughtime.world: collect(env, …) and fit(model, …).",
            )
        self.env, self.config = env, config
        self.memory = MemoryConfig(
            network.memory, network.hidden_size, network.num_layers, dict(network.memory_options)
        )
        self.environments = VectorEnvironment(env, config.num_envs)
        self.behaviour = BEHAVIOURS[config.behaviour](env.action_space)
        observation_kind(env, config.observations)  # looks once, outside of compiled programs
        self.kept = config.replay_steps // self.steps_per_iteration  # iterations
        eqx.filter_eval_shape(self.fresh_policy, jax.random.key(0))  # refuses impossible memories and widths

    @property
    def bptt_length(self) -> int:
        """Steps that gradients flow back through: a whole sequence."""
        return self.config.rollout_length

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps of one iteration, T · B."""
        return self.config.rollout_length * self.config.num_envs

    def parameter_names(self, state: ModelLearnerState) -> list[str]:
        """Of the model's trainable part."""
        return parameter_names(state.training.learned)

    def fresh_policy(self, key: PRNGKeyArray) -> Policy:
        """A policy before any update."""
        model = build_model(self.env, self.config.world_model, key, self.memory)
        network: Any = WorldNetwork(model)
        return Policy(self.env, NetworkConfig(previous_action=True), key, lambda *_: network)

    def init(self, seed: int | Array) -> ModelLearnerState:
        """A fresh model, fresh environments, and room for sequences."""
        _, key_start, key = jax.random.split(jax.random.key(seed), 3)
        policy, B = self.fresh_policy(policy_key(seed)), self.config.num_envs
        network: Any = policy.network
        observation, environment = self.environments.reset(key_start)
        shapes = jax.eval_shape(self._play, key)[1]
        room = jax.tree.map(lambda s: jnp.zeros((s.shape[0], self.kept * B, *s.shape[2:]), s.dtype), shapes)
        return ModelLearnerState(
            # Copies of its own: a chunk is given its state's buffers, each once.
            policy=policy,
            training=jax.tree.map(jnp.copy, start_training(network.model)[0]),
            actors=self._actors(policy, environment, observation),
            sequences=room,
            key=key,
            iteration=jnp.zeros((), jnp.int32),
        )

    def with_new_episodes(self, state: ModelLearnerState) -> ModelLearnerState:
        """The state itself: each iteration begins new episodes anyway."""
        return state

    def run(
        self,
        state: ModelLearnerState,
        iterations: Int[Array, ""],
        total: Int[Array, ""],
        first: Int[Array, ""],
        buffer: int,
    ) -> tuple[ModelLearnerState, Any, Int[Array, ""], Fault]:
        """Up to `iterations` iterations; stops early at a fault (see `run_iterations`)."""
        del first

        def choose(good: Bool[Array, ""], after: Any, before: Any) -> Any:
            # What a faulty iteration stored stays; the next one overwrites it: the sequences are never copied.
            rest = [s._replace(sequences=None) for s in (after, before)]
            return jax.tree.map(lambda a, b: jnp.where(good, a, b), *rest)._replace(sequences=after.sequences)

        return run_iterations(lambda state: self.iterate(state, total), choose, state, iterations, buffer)

    def iterate(self, state: ModelLearnerState, total: Int[Array, ""]) -> tuple[ModelLearnerState, Metrics, Fault]:
        """One iteration: act, store, learn.

        Args:
            state: before it.
            total: iterations of the whole run.
        """
        config, B, iteration = self.config, self.config.num_envs, state.iteration
        key, key_play, key_learn = jax.random.split(state.key, 3)
        environment, played = self._play(key_play)
        finite = jnp.isfinite(played.rewards)
        for x in (played.observations, played.successors):
            finite &= jnp.all(jnp.isfinite(x), axis=-1)
        at = (iteration % self.kept) * B
        kept = jax.tree.map(
            lambda room, new: jax.lax.dynamic_update_slice_in_dim(room, new, at, axis=1), state.sequences, played
        )
        network: Any = state.policy.network
        # The first sequences give the units, for good: later ones would change what was learned.
        scaled = network.model.scaled_by(played)
        model = jax.tree.map(lambda a, b: jnp.where(iteration == 0, a, b), scaled, network.model)
        training, fixed = state.training, start_training(model)[1]
        count = jnp.minimum(iteration + 1, self.kept) * B

        def one(training: Training, inputs: Any) -> tuple[Training, Any]:
            key, done = inputs
            key_rows, key_latents = jax.random.split(key)
            rows = jax.random.randint(key_rows, (config.batch_size,), 0, count)
            batch = jax.tree.map(lambda x: x[:, rows], kept)
            rate = cosine(config.learning_rate, iteration * config.updates + done, total * config.updates)
            return learn_step(
                fixed, training, batch, key_latents, learning_rate=rate, gradient_clip=config.gradient_clip
            )

        numbers = jnp.arange(config.updates, dtype=jnp.int32)
        training, losses = jax.lax.scan(one, training, (jax.random.split(key_learn, config.updates), numbers))
        losses = jax.tree.map(jnp.mean, losses)
        policy = eqx.tree_at(lambda p: p.network.model, state.policy, eqx.combine(training.learned, fixed))
        fault = find_fault(
            finite,
            played.actions,
            played.rewards,
            jnp.zeros(()),
            jnp.zeros((), jnp.int32),
            1,
            training.guard,
            config.max_skipped_updates,
        )
        observation = played.successors[-1].reshape(B, *self.env.observation_space.shape)
        actors = self._actors(policy, environment, observation)
        rate = cosine(config.learning_rate, (iteration + 1) * config.updates, total * config.updates)
        skipped = training.guard.skipped - state.training.guard.skipped
        metrics = Metrics(
            *self._episodes(played),
            loss=losses.total,
            observation_loss=losses.observation,
            reward_loss=losses.reward,
            continuation_loss=losses.continuation,
            dynamics_loss=losses.dynamics,
            skipped_updates=skipped,
            learning_rate=rate,
        )
        return ModelLearnerState(policy, training, actors, kept, key, iteration + 1), metrics, fault

    def learning(self, state: ModelLearnerState) -> Learning:
        """Not for the gradient microscope, which looks at a policy's loss.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "The gradient microscope does not look at world models.",
            "It follows the loss of a policy's towers, and a world model has none.",
            "Leave --flow out.",
        )

    def _play(self, key: PRNGKeyArray) -> tuple[Any, Sequences]:
        return play(self.environments, self.behaviour, self.config.rollout_length, key)

    def _actors(self, policy: Policy, environment: Any, observation: Array) -> Actors:
        B, zeros = self.config.num_envs, jnp.zeros(self.config.num_envs)
        state = policy.initial_state(B)
        return Actors(environment, observation, jnp.ones(B, bool), state, zeros, zeros, jnp.zeros(B, jnp.int32))

    def _episodes(self, played: Sequences) -> tuple[Array, Float[Array, ""], Float[Array, ""]]:
        """How many episodes ended; their mean return (discounted by the environment's own discount) and length."""
        discount = jnp.float32(self.env.discount)

        def body(carry: Any, step: Any) -> tuple[Any, Any]:
            total, length = carry
            reset, reward, ended = step
            total, length = jnp.where(reset, 0.0, total), jnp.where(reset, 0.0, length)
            total, length = total + discount**length * reward, length + 1.0
            return (total, length), (jnp.where(ended, total, 0.0), jnp.where(ended, length, 0.0))

        ended = played.terminated | played.truncated
        zeros = jnp.zeros(ended.shape[1])
        _, (returns, lengths) = jax.lax.scan(body, (zeros, zeros), (played.resets, played.rewards, ended))
        episodes = jnp.sum(ended, dtype=jnp.int32)
        number = episodes.astype(jnp.float32)
        return episodes, jnp.sum(returns) / number, jnp.sum(lengths) / number
