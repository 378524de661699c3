"""Recurrent Q-learning from replayed sequences: R2D2 (Kapturowski et al. 2019), and DRQN (Hausknecht & Stone 2015).

One iteration acts for T steps in B environments, stores them with the memory's states, and takes `updates` gradient
steps on sequences drawn from the replay. A sequence starts from its stored state; `burn_in` steps bring the memory up
to date without gradient, the next `bptt_length` are learned from, one more is bootstrapped from. Everything, many
iterations in a row, is one compiled program, the replay included.

References: Kapturowski et al. 2019, "Recurrent experience replay in distributed reinforcement learning" (R2D2);
Hausknecht & Stone 2015, "Deep recurrent Q-learning for partially observable MDPs" (arXiv 1507.06527).
"""

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from throughtime.agents.agent import Learning, Words
from throughtime.agents.gradient_step import Updated, annealed, gradient_step
from throughtime.agents.network import NetworkConfig
from throughtime.agents.off_policy import (
    Played,
    Start,
    Step,
    difference,
    empty_replay,
    network_start,
    play,
    recompute,
    sequence_inputs,
    store,
)
from throughtime.agents.policy import Policy, PolicyState
from throughtime.agents.preflight import Fault, find_fault
from throughtime.agents.q_loss import Batch, burn_in, loss_of, td_loss
from throughtime.agents.q_metrics import Metrics, metrics_of
from throughtime.agents.q_network import QNetwork
from throughtime.agents.r2d2_config import R2D2Config, check
from throughtime.agents.replaying import Replaying, learn_where
from throughtime.agents.rollout import Actors, start
from throughtime.core import select_rows
from throughtime.envs import Environment, VectorEnvironment
from throughtime.gradients import Guard
from throughtime.rl import Categorical, Replay, is_allowed, sequence_priority, uniform_choice
from throughtime.rl.replay import Index

FORWARD = {"q_mean": "Q-values", "loss": "loss"}
LEAST_PRIORITY = 1e-6  # a sequence that is learned to the last digit can still be drawn


class R2D2State(NamedTuple):
    """Everything that a checkpoint has to hold for a run to go on bit for bit, the replay included."""

    policy: Policy  # its network is the online one
    target: QNetwork
    optimiser: optax.OptState
    guard: Guard
    actors: Actors
    replay: Replay
    key: PRNGKeyArray
    iteration: Int[Array, ""]


class Learner(NamedTuple):
    """What the updates of an iteration change."""

    updated: Updated  # online network, optimiser, guard
    target: QNetwork
    priorities: Float[Array, "K B"]
    states: Start  # [K, B, ...]


class R2D2(Replaying):
    """R2D2 on one environment, and DRQN by its settings: pure functions of an `R2D2State`.

    Args:
        env: the environment; its actions are discrete.
        config: the algorithm.
        network: encoder and memory of the Q-network.

    Raises:
        ConfigError: sizes that do not fit together, or actions that cannot be counted.
    """

    words = Words(
        forward=tuple(FORWARD.values()),
        replayed="Q-values",
        broken="Replayed sequences would see other inputs or memory states than acting did.",
        calmer="Lower the learning rate, set gradient_clip, or turn rescale on.",
    )

    def __init__(self, env: Environment, config: R2D2Config, network: NetworkConfig):
        check(config, network)
        self.env, self.config, self.network_config = env, config, network
        self.environments = VectorEnvironment(env, config.num_envs)
        self.spec, self.keeps_states = config.replay, config.start == "stored"
        # Shapes only: an impossible memory or width is refused here, before anything is compiled.
        eqx.filter_eval_shape(self.fresh_policy, jax.random.key(0))
        self.optimiser = optax.scale_by_adam(eps=config.adam_epsilon)

    def fresh_policy(self, key: PRNGKeyArray) -> Policy:
        """A policy before any update."""
        config = self.config
        network = partial(
            QNetwork,
            hidden=config.head_size,
            duelling=config.dueling,
            temperature=config.temperature,
            rescaled=config.rescale,
        )
        return Policy(self.env, self.network_config, key, network)

    def init(self, seed: int | Array) -> R2D2State:
        """A fresh policy, fresh environments and an empty replay."""
        key_policy, key_start, key = jax.random.split(jax.random.key(seed), 3)
        policy = self.fresh_policy(key_policy)
        network: Any = policy.network
        actors = start(policy, self.environments, key_start)
        return R2D2State(
            policy=policy,
            # A copy of its own: a chunk is given its state's buffers, each once.
            target=jax.tree.map(jnp.copy, network),
            optimiser=self.optimiser.init(network),
            guard=Guard.create(network, len(FORWARD)),
            actors=actors,
            replay=empty_replay(self.spec, policy, actors, self.keeps_states),
            key=key,
            iteration=jnp.zeros((), jnp.int32),
        )

    def iterate(
        self, state: R2D2State, total: Int[Array, ""], first: Int[Array, ""]
    ) -> tuple[R2D2State, Metrics, Fault]:
        """One iteration: act, store, update.

        Args:
            state: before it.
            total: iterations of the whole run.
            first: the iteration in which this process began: the preflight runs there.
        """
        config, policy = self.config, state.policy
        key, key_play, key_learn = jax.random.split(state.key, 3)
        epsilon = self.epsilon(state.iteration, total)
        actors, played = self.act(policy, state.actors, key_play, epsilon)
        checked = config.period if self.keeps_states else config.rollout_length
        replay_error = jax.lax.cond(
            state.iteration <= first + 1,
            lambda: difference(played.said, recompute(policy, played, checked)),
            lambda: jnp.zeros(()),
        )
        replay = store(self.spec, state.replay, played, self.keeps_states)
        learning_rate = annealed(config, state.iteration, total)
        learner = Learner(
            Updated(policy.network, state.optimiser, state.guard), state.target, replay.priorities, replay.states
        )
        learner, infos = self._learn(policy, replay, learner, learning_rate, state.iteration, key_learn)
        network, optimiser, guard = learner.updated
        replay = replay._replace(priorities=learner.priorities, states=learner.states)
        fault = find_fault(
            played.finite,
            played.steps.action,
            played.steps.reward,
            replay_error,
            first,
            checked,
            guard,
            config.max_skipped_updates,
        )
        policy = eqx.tree_at(lambda p: p.network, policy, network).observe(played.steps.observation)
        after = R2D2State(policy, learner.target, optimiser, guard, actors, replay, key, state.iteration + 1)
        stored = jnp.sum(jnp.where(replay.priorities > 0, 1.0, 0.0))
        priority = jnp.sum(replay.priorities) / jnp.maximum(stored, 1.0)
        return after, metrics_of(played, infos, jnp.mean(epsilon), priority, learning_rate, replay_error), fault

    def epsilon(self, iteration: Int[Array, ""], total: Int[Array, ""]) -> Float[Array, " B"]:
        """ε of each environment in an iteration."""
        config, B = self.config, self.config.num_envs
        if config.exploration == "ladder":
            rung = jnp.arange(B, dtype=jnp.float32) / max(B - 1, 1)
            return jnp.power(jnp.float32(config.epsilon), 1.0 + config.epsilon_exponent * rung)
        done = iteration.astype(jnp.float32) / jnp.maximum(config.epsilon_fraction * total.astype(jnp.float32), 1.0)
        now = config.epsilon_start + (config.epsilon_end - config.epsilon_start) * jnp.minimum(done, 1.0)
        return jnp.broadcast_to(now, (B,))

    def act(
        self, policy: Policy, actors: Actors, key: PRNGKeyArray, epsilon: Float[Array, " B"]
    ) -> tuple[Actors, Played]:
        """T steps, ε-greedily."""
        config = self.config
        return play(
            policy,
            self.environments,
            actors,
            key,
            partial(explore, epsilon=epsilon),
            length=config.rollout_length,
            period=config.period,
        )

    def _learn(
        self,
        policy: Policy,
        replay: Replay,
        learner: Learner,
        learning_rate: Float[Array, ""],
        iteration: Int[Array, ""],
        key: PRNGKeyArray,
    ) -> tuple[Learner, dict[str, Array]]:
        """All gradient steps of one iteration; none before there is enough to learn from."""
        config = self.config
        seen = (iteration + 1) * self.steps_per_iteration
        ready = (self.spec.size(replay) > 0) & (seen >= config.learning_starts)

        def step(learner: Learner, key: PRNGKeyArray):
            return self._step(policy, replay, learner, learning_rate, iteration, key)

        return learn_where(ready, step, learner, jax.random.split(key, config.updates))

    def _step(
        self,
        policy: Policy,
        replay: Replay,
        learner: Learner,
        learning_rate: Float[Array, ""],
        iteration: Int[Array, ""],
        key: PRNGKeyArray,
    ) -> tuple[Learner, dict[str, Array]]:
        """One gradient step on sequences drawn anew."""
        config, spec = self.config, self.spec
        stored = replay._replace(priorities=learner.priorities, states=learner.states)
        sample = spec.sample(stored, key, config.batch_size)
        before = learner.updated
        batch = burn_in(policy, before.params, learner.target, sample.states, sample.steps, config.burn_in)
        (_, (errors, info)), grads = jax.value_and_grad(td_loss, has_aux=True)(
            before.params, learner.target, batch, sample.weights, config
        )
        done = gradient_step(
            self.optimiser,
            before,
            grads,
            forward=[info[name] for name in FORWARD],
            iteration=iteration,
            allowed=before.guard.in_row < config.max_skipped_updates,
            learning_rate=learning_rate,
            clip_by=config.gradient_clip_by,
            limit=config.gradient_clip,
        )
        priorities = sequence_priority(errors, jnp.ones_like(errors, bool), mixture=config.priority_mixture)
        priorities = jnp.where(jnp.isfinite(priorities), priorities, 0.0) + LEAST_PRIORITY
        after = spec.prioritise(stored, sample.drawn, priorities)
        if config.refresh:
            later = Index(sample.drawn.piece + config.burn_in // config.period, sample.drawn.environment)
            after = spec.refresh(after, later, self._reached(policy, batch, sample.steps))
        copies = done.taken & (done.updated.guard.updates % config.target_period == 0)
        target = select_rows(copies, done.updated.params, learner.target)
        info = {**info, "gradient_norm": done.norm, "taken": done.taken, "skipped": done.skipped}
        return Learner(done.updated, target, after.priorities, after.states), info

    def _reached(self, policy: Policy, batch: Batch, steps: Step) -> Start:
        """What burn-in reached, as it is stored."""
        last = self.config.burn_in - 1
        action = steps.action[last] if policy.reads_previous_action else None
        return Start(PolicyState(batch.start, action), steps.reward[last])

    def learning(self, state: R2D2State) -> Learning:
        """The steps that would come next, k + 1 of each environment from its state, and the loss over all of them.

        Not what is drawn from the replay: before learning starts there is nothing to draw.
        """
        config, policy = self.config, state.policy
        network: Any = policy.network
        length = -(-(config.bptt_length + 1) // config.period) * config.period
        epsilon = self.epsilon(state.iteration, jnp.maximum(state.iteration, 1))
        _, played = play(
            policy,
            self.environments,
            state.actors,
            jax.random.split(state.key, 3)[1],
            partial(explore, epsilon=epsilon),
            length=length,
            period=config.period,
        )
        steps = jax.tree.map(lambda x: x[: config.bptt_length + 1], played.steps)
        first = jax.tree.map(lambda x: x[0], played.starts)
        inputs, finals = sequence_inputs(policy, first, steps)
        begin = network_start(policy, first)
        batch = Batch(begin, begin, inputs, finals, steps)

        def loss(features: Array, critic_features: Array) -> Array:
            del critic_features
            q = network.q_values(features, inputs)
            return loss_of(q, network, state.target, batch, jnp.ones(config.num_envs), config)[0]

        return Learning(begin, inputs, steps.reset, loss)


def explore(distribution: Categorical, noise: Float[Array, " B"], *, epsilon: Float[Array, " B"]) -> Int[Array, " B"]:
    """ε-greedy, by one uniform number an action: below ε it says which random one of those that are allowed."""
    random = uniform_choice(noise / jnp.maximum(epsilon, 1e-12), is_allowed(distribution.logits))
    return jnp.where(noise < epsilon, random, distribution.mode())
