"""Recurrent proximal policy optimisation (Schulman et al. 2017) with the state boundary of docs/architecture.md.

One iteration acts for T steps in B environments, cuts the rollout into sequences of `bptt_length` steps that start
from their stored states, and takes `epochs` × `minibatches` gradient steps on them, each by backpropagation through
time over whole sequences. Everything, many iterations in a row, is one compiled program.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from throughtime.agents.agent import Learning, Words, run_iterations
from throughtime.agents.gradient_step import Updated, annealed, gradient_step
from throughtime.agents.metrics import metrics_of
from throughtime.agents.network import NetworkConfig
from throughtime.agents.policy import Policy
from throughtime.agents.ppo_config import check
from throughtime.agents.preflight import (
    FORWARD,
    Fault,
    find_fault,
    replay_error_of,
)
from throughtime.agents.rollout import Actors, Rollout, Sequences, collect, start
from throughtime.envs import Environment, VectorEnvironment
from throughtime.gradients import Guard, parameter_names
from throughtime.rl import (
    ActionDistribution,
    Moments,
    approximate_kl,
    clipped_policy_loss,
    cut,
    generalised_advantages,
    join_starts,
    standardise,
    true_next_values,
    value_loss,
)


class TrainState(NamedTuple):
    """Everything that a checkpoint has to hold for a run to go on bit for bit."""

    policy: Policy
    optimiser: optax.OptState
    guard: Guard  # counts the updates, and those that were skipped
    actors: Actors
    discounted_return: Float[Array, " B"] | None
    return_moments: Moments | None
    key: PRNGKeyArray
    iteration: Int[Array, ""]
    credit: Any = None  # of a PPO that assigns credit: what it knows


class Gathered(NamedTuple):
    """The first half of an iteration: a rollout, cut into sequences with their advantages."""

    rollout: Rollout
    rewards: Float[Array, "T B"]  # that advantages are made of, before they are scaled
    sequences: Sequences
    actors: Actors  # after it
    credit: Any
    discounted_return: Float[Array, " B"] | None
    return_moments: Moments | None
    key: PRNGKeyArray  # of the next iteration
    key_update: PRNGKeyArray


class PPO:
    """Recurrent PPO on one environment: pure functions of a `TrainState`.

    Args:
        env: the environment.
        config: the algorithm.
        network: the policy's network.

    Raises:
        ConfigError: sizes that do not fit together.
    """

    words = Words(
        forward=tuple(FORWARD.values()),
        replayed="log-probabilities or values",
        broken="PPO's first ratio would not be 1: training would see other inputs or memory states than acting did.",
        calmer="Lower ppo.learning_rate, set ppo.gradient_clip, or normalise rewards (ppo.normalise_returns).",
    )

    def __init__(self, env: Environment, config: Any, network: NetworkConfig):  # PPOConfig, or an heir's settings
        self.check_settings(env, config, network)
        self.env, self.config, self.network_config = env, config, network
        self.environments = VectorEnvironment(env, config.num_envs)
        # Shapes only: an impossible memory or width is refused here, before anything is compiled.
        eqx.filter_eval_shape(Policy, env, network, jax.random.key(0))
        self.bptt_length = config.bptt_length or config.rollout_length
        self.optimiser = optax.scale_by_adam(eps=1e-5)

    def check_settings(self, env: Environment, config: Any, network: NetworkConfig) -> None:
        """Raises ConfigError where the settings cannot work, together or in this environment."""
        check(config, network, env.action_space)

    def expert_share(self, state: TrainState) -> Float[Array, ""] | None:
        """In which share of a rollout's steps the environment's expert acts; None where it is not asked."""
        del state

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps of one iteration, T · B."""
        return self.config.rollout_length * self.config.num_envs

    def fresh_policy(self, key: PRNGKeyArray) -> Policy:
        """A policy before any update."""
        return Policy(self.env, self.network_config, key)

    def init(self, seed: int | Array) -> TrainState:
        """A fresh policy and fresh environments."""
        key_policy, key_start, key = jax.random.split(jax.random.key(seed), 3)
        policy = self.fresh_policy(key_policy)
        B, normalise = self.config.num_envs, self.config.normalise_returns
        return TrainState(
            policy=policy,
            optimiser=self.optimiser.init(policy.network),  # pyright: ignore[reportArgumentType]
            guard=Guard.create(policy.network, len(FORWARD)),
            actors=start(policy, self.environments, key_start),
            discounted_return=jnp.zeros(B) if normalise else None,
            return_moments=Moments.create(()) if normalise else None,
            key=key,
            iteration=jnp.zeros((), jnp.int32),
        )

    def with_new_episodes(self, state: TrainState) -> TrainState:
        """The same training at the start of new episodes, for environments that cannot be put back into old ones."""
        key_start, key = jax.random.split(state.key)
        running = state.discounted_return
        return state._replace(
            actors=start(state.policy, self.environments, key_start),
            discounted_return=None if running is None else jnp.zeros_like(running),
            key=key,
        )

    def run(
        self, state: TrainState, iterations: Int[Array, ""], total: Int[Array, ""], first: Int[Array, ""], buffer: int
    ) -> tuple[TrainState, Any, Int[Array, ""], Fault]:
        """Up to `iterations` iterations; stops early at a fault.

        Args:
            state: where to go on.
            iterations: how many, at most `buffer`.
            total: iterations of the whole run, for the learning-rate schedule.
            first: the iteration in which this process began; the preflight runs there.
            buffer: room for metrics (a static size).

        Returns:
            The state, the metrics `[buffer]` (the first `iterations` entries count), how many iterations were
            completed, and the fault. After a fault the state is the one from before the iteration it happened in.
        """
        return run_iterations(
            lambda state: self.iterate(state, total, first),
            lambda good, after, before: jax.tree.map(lambda a, b: jnp.where(good, a, b), after, before),
            state,
            iterations,
            buffer,
        )

    def iterate(self, state: TrainState, total: Int[Array, ""], first: Int[Array, ""]) -> tuple[TrainState, Any, Fault]:
        """One iteration: act, estimate advantages, update.

        Args:
            state: before it.
            total: iterations of the whole run.
            first: the iteration in which this process began: the preflight runs there.
        """
        return self.learn(state, self.gather(state), total, first)

    def learn(
        self, state: TrainState, gathered: Gathered, total: Int[Array, ""], first: Int[Array, ""]
    ) -> tuple[TrainState, Any, Fault]:
        """The second half of an iteration: the updates.

        Args:
            state: before the iteration.
            gathered: what `gather` made of it.
            total: iterations of the whole run.
            first: as for `iterate`.
        """
        config, policy = self.config, state.policy
        rollout, _, sequences, actors, credit, discounted_return, return_moments, key, key_update = gathered
        replay_error = jax.lax.cond(
            state.iteration <= first + 1, lambda: replay_error_of(policy, sequences), lambda: jnp.zeros(())
        )
        learning_rate = annealed(config, state.iteration, total)
        policy, optimiser, guard, losses = self._update(
            policy, state.optimiser, state.guard, sequences, learning_rate, state.iteration, key_update
        )
        taken = policy.to_environment(rollout.actions)
        fault = find_fault(
            rollout.finite,
            taken,
            rollout.rewards,
            replay_error,
            first,
            self.bptt_length,
            guard,
            config.max_skipped_updates,
        )
        policy = policy.observe(rollout.observations)
        after = TrainState(
            policy, optimiser, guard, actors, discounted_return, return_moments, key, state.iteration + 1, credit
        )
        return after, self.metrics(state, rollout, losses, learning_rate, credit), fault

    def assign(self, state: TrainState, rollout: Rollout) -> tuple[Float[Array, "T B"], Any]:
        """The rewards that advantages are made of, and `TrainState.credit` after the rollout; here, all as it came.

        Args:
            state: before the iteration.
            rollout: of the iteration.
        """
        return rollout.rewards, state.credit

    def metrics(
        self,
        state: TrainState,
        rollout: Rollout,
        losses: dict[str, Array],
        learning_rate: Float[Array, ""],
        credit: Any,
    ) -> Any:
        """What an iteration measured: `metrics_of`, and what an heir adds of `state` before it, `credit` after."""
        del state, credit
        return metrics_of(rollout, losses, learning_rate)

    def gather(self, state: TrainState) -> Gathered:
        """Acts, and estimates advantages: all of an iteration that comes before its updates."""
        config, policy = self.config, state.policy
        key, key_rollout, key_update = jax.random.split(state.key, 3)
        actors, rollout, starts, last_values = collect(
            policy,
            self.environments,
            state.actors,
            key_rollout,
            config.rollout_length,
            self.bptt_length,
            self.expert_share(state),
            config.exploring_starts,
        )
        assigned, credit = self.assign(state, rollout)
        rewards, discounted_return, return_moments = self._scaled_rewards(state, assigned, rollout)
        next_values = true_next_values(rollout.values, last_values, rollout.final_values, rollout.truncated)
        advantages = generalised_advantages(
            rewards,
            rollout.values,
            next_values,
            rollout.terminated,
            rollout.truncated,
            discount=config.discount,
            trace=config.gae_lambda,
        )
        sequences = Sequences(
            join_starts(starts),
            *cut(
                (
                    rollout.inputs,
                    rollout.resets,
                    rollout.actions,
                    rollout.log_probs,
                    rollout.values,
                    advantages,
                    advantages + rollout.values,
                    rollout.wanted,
                ),
                self.bptt_length,
            ),
        )
        return Gathered(
            rollout, assigned, sequences, actors, credit, discounted_return, return_moments, key, key_update
        )

    def _scaled_rewards(
        self, state: TrainState, rewards: Float[Array, "T B"], rollout: Rollout
    ) -> tuple[Float[Array, "T B"], Float[Array, " B"] | None, Moments | None]:
        """Rewards divided by the running standard deviation of the discounted return (off: as they are)."""
        if state.return_moments is None:
            return rewards, None, None

        def body(running, inputs):
            reward, ended = inputs
            running = reward + self.config.discount * running
            return jnp.where(ended, 0.0, running), running

        ended = rollout.terminated | rollout.truncated
        carried, returns = jax.lax.scan(body, state.discounted_return, (rewards, ended), unroll=8)
        moments = state.return_moments.update(returns)
        return jnp.clip(rewards * moments.scale(), -10.0, 10.0), carried, moments

    def _update(
        self,
        policy: Policy,
        optimiser: optax.OptState,
        guard: Guard,
        sequences: Sequences,
        learning_rate: Float[Array, ""],
        iteration: Int[Array, ""],
        key: PRNGKeyArray,
    ) -> tuple[Policy, optax.OptState, Guard, dict[str, Array]]:
        """All gradient steps of one iteration; none after too many in a row that had to be skipped."""
        config = self.config
        N = sequences.resets.shape[1]
        orders = jax.vmap(lambda k: jax.random.permutation(k, N))(jax.random.split(key, config.epochs))
        orders = orders.reshape(config.epochs * config.minibatches, N // config.minibatches)
        gradient = jax.value_and_grad(self._loss, has_aux=True)

        def step(carry, order):
            before, stopped = carry
            batch = Sequences(
                jax.tree.map(lambda x: x[order], sequences.starts),
                *jax.tree.map(lambda x: x[:, order], tuple(sequences[1:])),
            )
            (_, info), grads = gradient(before.params, batch)
            if config.target_kl is not None:
                stopped = stopped | (info["approximate_kl"] > 1.5 * config.target_kl)
            stopped = stopped | (before.guard.in_row >= config.max_skipped_updates)
            done = gradient_step(
                self.optimiser,
                before,
                grads,
                forward=[info[name] for name in FORWARD],
                iteration=iteration,
                allowed=~stopped,
                learning_rate=learning_rate,
                clip_by=config.gradient_clip_by,
                limit=config.gradient_clip,
            )
            info = {**info, "gradient_norm": done.norm, "taken": done.taken, "skipped": done.skipped}
            return (done.updated, stopped), info

        carry = (Updated(policy.network, optimiser, guard), jnp.zeros((), bool))
        ((network, optimiser, guard), _), infos = jax.lax.scan(step, carry, orders)
        return eqx.tree_at(lambda p: p.network, policy, network), optimiser, guard, infos

    def _loss(self, network: Any, batch: Sequences) -> tuple[Float[Array, ""], dict[str, Array]]:
        """PPO's loss on whole sequences: each is unrolled from its stored state."""
        _, distribution, values = network.unroll(batch.starts, batch.inputs, batch.resets)
        return self.loss_of(distribution, values, batch)

    def loss_of(
        self, distribution: ActionDistribution, values: Float[Array, "k N"], batch: Sequences
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """PPO's loss from what the heads said of each step; its term of a step depends on that step alone."""
        config = self.config
        log_ratio = distribution.log_prob(batch.actions) - batch.log_probs
        policy_loss = clipped_policy_loss(log_ratio, standardise(batch.advantages), config.clip)
        critic_loss = value_loss(values, batch.values, batch.targets, config.value_clip)
        entropy = jnp.mean(distribution.entropy())
        ratio_error = jnp.abs(jnp.expm1(jax.lax.stop_gradient(log_ratio)))
        info = {
            "policy_loss": policy_loss,
            "value_loss": critic_loss,
            "entropy": entropy,
            "approximate_kl": approximate_kl(log_ratio),
            "clip_fraction": jnp.mean(ratio_error > config.clip, dtype=jnp.float32),
            "ratio_error": jnp.max(ratio_error),
        }
        loss = policy_loss + config.value_weight * critic_loss - config.entropy_weight * entropy
        return loss, info

    def learning(self, state: TrainState) -> Learning:
        """The very rollout that the next iteration gathers, and PPO's loss over all of it."""
        network, batch = state.policy.network, self.gather(state).sequences
        return Learning(
            batch.starts,
            batch.inputs,
            batch.resets,
            lambda features, critic_features: self.loss_of(
                *network.heads(features, critic_features, batch.inputs), batch
            )[0],
        )

    def parameter_names(self, state: TrainState) -> list[str]:
        """Of what the guard watches."""
        return parameter_names(state.policy.network)
