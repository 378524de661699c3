"""One gradient step of an actor-critic with memory on sequences from a replay: what SAC and TD3 have in common.

For each learned step t of a sequence, with h_t the actor's features and k_t the critics' (each side's memory after it
has read the history up to observation t):

    a'    what the policy does at the true successor of step t
    y_t = r_t + γ (1 − terminated_t) (min_i Q̄_i(k'_t, a') − α log π(a'))
    critics: Σ_i ½ (Q_i(k_t, a_t) − y_t)²
    actor:   α log π(a) − min_i Q_i(k_t, a) with a ~ π(h_t) (SAC), or −Q_1(k_t, μ(h_t)) (TD3)

All losses are evaluated at the weights from before the step. The actor's loss trains the actor's memory, the critics'
loss the critics', and neither the other's. The target networks have memories of their own, which read the same history.
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.agents.continuous_config import ContinuousConfig
from throughtime.agents.continuous_network import Actor, ContinuousNetwork, TwinCritic
from throughtime.agents.network import NetworkState, Tower
from throughtime.agents.successors import successor_features
from throughtime.core import select_rows
from throughtime.gradients import Guard, clip
from throughtime.rl import n_step_targets, polyak, soft_value, twin_critic_loss

# What the guard watches of the forward pass, by metric.
FORWARD = {"critic_loss": "critic loss", "q_value": "values", "actor_loss": "actor loss"}


class Batch(NamedTuple):
    """Sequences of K = burn-in + L steps; what is learned from is the last L."""

    starts: NetworkState  # before inputs[0], leaves [N, ...]
    inputs: Float[Array, "K N I"]
    resets: Bool[Array, "K N"]
    next_inputs: Float[Array, "K N I"]  # of each step's true successor
    actions: Float[Array, "K N A"]  # in units where the range is [-1, 1]
    rewards: Float[Array, "K N"]
    terminated: Bool[Array, "K N"]
    truncated: Bool[Array, "K N"]


class Targets(NamedTuple):
    """Slow copies."""

    policy: Actor | None  # None where the successor's action is the learned actor's
    twins: TwinCritic


class Temperature(NamedTuple):
    """α of SAC, by its logarithm."""

    log_value: Float[Array, ""]
    optimiser: optax.OptState


class Learned(NamedTuple):
    """All that a gradient step changes."""

    network: ContinuousNetwork
    targets: Targets
    actor_optimiser: optax.OptState
    critic_optimiser: optax.OptState
    temperature: Temperature | None
    guard: Guard


class Update(ABC):
    """The gradient step; a subclass says what the policy does and what its loss is.

    Args:
        config: the algorithm's settings.
    """

    target_policy: bool  # whether the policy has a slow copy

    def __init__(self, config: ContinuousConfig):
        self.config = config
        self.optimiser = optax.scale_by_adam(eps=1e-8)

    @abstractmethod
    def successor_actions(
        self, distribution: Any, noise: Float[Array, "L N A"]
    ) -> tuple[Float[Array, "L N A"], Float[Array, "L N"]]:
        """The actions whose values the targets are made of, and their log-probabilities (0 where they do not count)."""

    @abstractmethod
    def policy_loss(
        self,
        distribution: Any,
        twins: TwinCritic,
        critic_features: Float[Array, "L N H"],
        noise: Float[Array, "L N A"],
        temperature: Float[Array, ""],
    ) -> tuple[Float[Array, ""], Float[Array, "L N"]]:
        """The actor's loss, and the log-probabilities of the actions that it was made of."""

    def fresh_temperature(self) -> Temperature | None:
        """At the start."""
        return None

    def next_temperature(self, temperature: Temperature | None, log_probs: Float[Array, "L N"]) -> Temperature | None:
        """After the actor's step."""
        del log_probs
        return temperature

    def create(self, network: ContinuousNetwork) -> Learned:
        """At the start: the targets are copies."""
        return Learned(
            network,
            # Copies of their own: a chunk is given its state's buffers, each once.
            jax.tree.map(jnp.copy, Targets(network.policy if self.target_policy else None, network.twins)),
            self.optimiser.init(network.policy),  # pyright: ignore[reportArgumentType]
            self.optimiser.init(network.twins),  # pyright: ignore[reportArgumentType]
            self.fresh_temperature(),
            Guard.create(network, len(FORWARD)),
        )

    def step(
        self, learned: Learned, batch: Batch, key: PRNGKeyArray, iteration: Int[Array, ""]
    ) -> tuple[Learned, dict[str, Array]]:
        """One gradient step; skipped where a gradient is not finite.

        Args:
            learned: before it.
            batch: the sequences.
            key: for the policy's actions.
            iteration: for the guard's report.
        """
        config, (network, targets, actor_state, critic_state, temperature, guard) = self.config, learned
        shape = batch.actions[config.burn_in :].shape
        noise_next, noise_now = jax.random.normal(key, (2, *shape))
        goal = self.targets(learned, batch, noise_next)
        (critic_loss, (features, q)), d_twins = jax.value_and_grad(self.critic_loss, has_aux=True)(
            network.twins, batch, goal
        )

        def actor_gradient():
            return jax.value_and_grad(self.actor_loss, has_aux=True)(
                network.policy, network.twins, features, batch, noise_now, self.alpha(temperature)
            )

        def no_gradient():
            shapes = jax.eval_shape(actor_gradient)
            return jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

        due = guard.updates % config.policy_delay == 0
        (actor_loss, log_probs), d_policy = jax.lax.cond(due, actor_gradient, no_gradient)
        grads = eqx.tree_at(lambda n: (n.policy, n.twins), network, (d_policy, d_twins))
        ok, guard = guard.check(grads, [critic_loss, q, actor_loss], iteration)
        d_policy, actor_norm = clip(d_policy, network.policy, config.gradient_clip_by, config.gradient_clip)
        d_twins, critic_norm = clip(d_twins, network.twins, config.gradient_clip_by, config.gradient_clip)
        twins, critic_state = self._descend(network.twins, d_twins, critic_state, config.critic_learning_rate)

        def move_all():
            policy, state = self._descend(network.policy, d_policy, actor_state, config.actor_learning_rate)
            moved = Targets(
                None if targets.policy is None else polyak(targets.policy, policy, config.polyak),
                polyak(targets.twins, twins, config.polyak),
            )
            return policy, moved, state, self.next_temperature(temperature, log_probs)

        stay = (network.policy, targets, actor_state, temperature)
        policy, targets, actor_state, temperature = jax.lax.cond(due, move_all, lambda: stay)
        network = eqx.tree_at(lambda n: (n.policy, n.twins), network, (policy, twins))
        after = Learned(network, targets, actor_state, critic_state, temperature, guard)
        before = learned._replace(guard=guard)
        info = {
            "critic_loss": critic_loss,
            "q_value": jnp.mean(q),
            "actor_loss": actor_loss,
            "entropy": -jnp.mean(log_probs),
            "temperature": self.alpha(learned.temperature),
            "actor_gradient_norm": actor_norm,
            "critic_gradient_norm": critic_norm,
            "taken": ok,
            "actor_taken": ok & due,
        }
        return select_rows(ok, after, before), info

    def targets(self, learned: Learned, batch: Batch, noise: Float[Array, "L N A"]) -> Float[Array, "L N"]:
        """y, from the true successor of each learned step."""
        config, targets = self.config, learned.targets
        policy = learned.network.policy if targets.policy is None else targets.policy
        shared = learned.network.twins.tower if targets.policy is None else targets.twins.tower
        features = self._successors(policy.tower or shared, batch.starts.actor, batch)
        critic_features = self._successors(targets.twins.tower, self.critic_start(batch), batch)
        actions, log_probs = self.successor_actions(policy.distribution(features), noise)
        values = soft_value(targets.twins.values(critic_features, actions), log_probs, self.alpha(learned.temperature))
        return n_step_targets(
            config.reward_scale * batch.rewards[config.burn_in :],
            values,
            batch.terminated[config.burn_in :],
            batch.truncated[config.burn_in :],
            discount=config.discount,
            n=1,
        )

    def critic_loss(
        self, twins: TwinCritic, batch: Batch, targets: Float[Array, "L N"]
    ) -> tuple[Float[Array, ""], tuple[Float[Array, "L N H"], Float[Array, "2 L N"]]]:
        """The critics' loss on the learned steps; their features and values beside it."""
        features = self._features(twins.tower, self.critic_start(batch), batch)
        q = twins.values(features, batch.actions[self.config.burn_in :])
        return twin_critic_loss(q, targets), (features, q)

    def actor_loss(
        self,
        policy: Actor,
        twins: TwinCritic,
        critic_features: Float[Array, "L N H"],
        batch: Batch,
        noise: Float[Array, "L N A"],
        temperature: Float[Array, ""],
    ) -> tuple[Float[Array, ""], Float[Array, "L N"]]:
        """The actor's loss on the learned steps, by critics that stay as they are."""
        features = critic_features  # of a memory that both share, which the critics' loss alone trains
        if policy.tower is not None:
            features = self._features(policy.tower, batch.starts.actor, batch)
        return self.policy_loss(policy.distribution(features), twins, critic_features, noise, temperature)

    def loss_of_features(
        self,
        learned: Learned,
        batch: Batch,
        key: PRNGKeyArray,
        features: Float[Array, "L N H"],
        critic_features: Float[Array, "L N H"],
    ) -> Float[Array, ""]:
        """Both losses of the learned steps from what the towers put out there, for the gradient microscope."""
        network, alpha = learned.network, self.alpha(learned.temperature)
        actions = batch.actions[self.config.burn_in :]
        noise_next, noise_now = jax.random.normal(key, (2, *actions.shape))
        q = network.twins.values(critic_features, actions)
        seen = jax.lax.stop_gradient(critic_features)
        features = seen if network.policy.tower is None else features
        actor_loss, _ = self.policy_loss(network.policy.distribution(features), network.twins, seen, noise_now, alpha)
        return twin_critic_loss(q, self.targets(learned, batch, noise_next)) + actor_loss

    def alpha(self, temperature: Temperature | None) -> Float[Array, ""]:
        """α; 0 without one."""
        return jnp.zeros(()) if temperature is None else jnp.exp(temperature.log_value)

    def critic_start(self, batch: Batch) -> Any:
        """The state of the critics' memory before a sequence; the actor's where they share one."""
        return batch.starts.actor if batch.starts.critic is None else batch.starts.critic

    def _successors(self, tower: Tower, start: Any, batch: Batch) -> Float[Array, "L N H"]:
        k = self.config.burn_in
        begin = self.begin(tower, start, batch)
        return successor_features(tower, begin, batch.inputs[k:], batch.next_inputs[k:], batch.resets[k:])

    def _features(self, tower: Tower, start: Any, batch: Batch) -> Float[Array, "L N H"]:
        k = self.config.burn_in
        return tower.unroll(self.begin(tower, start, batch), batch.inputs[k:], batch.resets[k:])[1]

    def begin(self, tower: Tower, start: Any, batch: Batch) -> Any:
        """The state before the first learned step, by these weights; no gradient flows through the burn-in."""
        k = self.config.burn_in
        if k == 0:
            return start
        return jax.lax.stop_gradient(tower.unroll(start, batch.inputs[:k], batch.resets[:k])[0])

    def _descend(self, params: Any, grads: Any, state: optax.OptState, rate: float) -> tuple[Any, optax.OptState]:
        with jax.numpy_dtype_promotion("standard"):  # optax mixes integers and floats
            updates, state = self.optimiser.update(grads, state)
        return jax.tree.map(lambda p, u: p - jnp.asarray(rate, p.dtype) * u, params, updates), state
