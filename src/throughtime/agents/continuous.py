"""Actor-critics for continuous actions that learn from a replay of sequences, with memories of their own on both sides.

One iteration acts for `rollout_length` steps in `num_envs` environments, puts them into the replay with the memory's
state from before them, and takes `updates` gradient steps on sequences drawn from all of it. Everything, many
iterations in a row, is one compiled program. `sac.py` and `td3.py` say what their actors do.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.agents.agent import Learning, Words, policy_key
from throughtime.agents.continuous_config import ContinuousConfig, check, replay_of
from throughtime.agents.continuous_metrics import ContinuousMetrics, metrics_of
from throughtime.agents.continuous_network import ContinuousNetwork, bounded_size
from throughtime.agents.continuous_update import FORWARD, Batch, Learned, Update
from throughtime.agents.network import NetworkConfig, NetworkState
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
from throughtime.agents.policy import Policy
from throughtime.agents.preflight import Fault, find_fault
from throughtime.agents.replaying import Replaying
from throughtime.agents.rollout import Actors, start
from throughtime.envs import Environment, VectorEnvironment
from throughtime.rl import Replay, correlated_noise


class ContinuousState(NamedTuple):
    """Everything that a checkpoint has to hold for a run to go on bit for bit."""

    policy: Policy
    learned: Any  # a `Learned` whose network is None: that is the policy's
    actors: Actors
    replay: Replay
    key: PRNGKeyArray
    iteration: Int[Array, ""]
    noise: Float[Array, "B A"] | None  # of the last actions; None where the next ones do not depend on it

    @property
    def guard(self) -> Any:
        """Counts the updates, and those that were skipped."""
        return self.learned.guard


class Continuous(Replaying):
    """What SAC and TD3 have in common: pure functions of a `ContinuousState`.

    Args:
        env: the environment; its actions are continuous.
        config: the algorithm.
        network: encoder and memory of both sides.
        update: the algorithm's gradient step.
        noise: standard deviation of a deterministic actor's exploration; None for a stochastic one.

    Raises:
        ConfigError: discrete actions, or sizes that do not fit together.
    """

    words = Words(
        forward=tuple(FORWARD.values()),
        replayed="action distributions or values",
        broken="Training would see other inputs or memory states than acting did.",
        calmer="Lower the learning rates, set gradient_clip, or lower reward_scale.",
    )

    def __init__(
        self,
        env: Environment,
        config: ContinuousConfig,
        network: NetworkConfig,
        update: Update,
        noise: float | None = None,
    ):
        check(config, network)
        self.env, self.config, self.network_config = env, config, network
        self.update, self.noise = update, noise
        self.environments = VectorEnvironment(env, config.num_envs)
        self.size = bounded_size(env.action_space)
        self.spec, self.keeps_states = replay_of(config), config.start == "stored"
        # Shapes only: an impossible memory or width is refused here, before anything is compiled.
        eqx.filter_eval_shape(self.fresh_policy, jax.random.key(0))

    def fresh_policy(self, key: PRNGKeyArray) -> Policy:
        """A fresh policy."""

        def build(input_size: int, space: Any, config: NetworkConfig, key: PRNGKeyArray) -> ContinuousNetwork:
            return ContinuousNetwork(input_size, space, config, key, head=self.config.head, noise=self.noise)

        return Policy(self.env, self.network_config, key, build)

    def init(self, seed: int | Array) -> ContinuousState:
        """A fresh policy, fresh environments and an empty replay."""
        return self.around(self.fresh_policy(policy_key(seed)), jax.random.fold_in(jax.random.key(seed), 1))

    def around(self, policy: Policy, key: PRNGKeyArray) -> ContinuousState:
        """The start of a training of this policy."""
        key_start, key = jax.random.split(key)
        actors, network = start(policy, self.environments, key_start), policy.network
        assert isinstance(network, ContinuousNetwork)
        return ContinuousState(
            policy=policy,
            learned=self.update.create(network)._replace(network=None),
            actors=actors,
            replay=empty_replay(self.spec, policy, actors, self.keeps_states),
            key=key,
            iteration=jnp.zeros((), jnp.int32),
            noise=self._first_noise(policy, key),
        )

    def iterate(
        self, state: ContinuousState, total: Int[Array, ""], first: Int[Array, ""]
    ) -> tuple[ContinuousState, ContinuousMetrics, Fault]:
        """One iteration: act, store, learn.

        Args:
            state: before it.
            total: iterations of the whole run; not read, nothing is annealed.
            first: the iteration in which this process began: the preflight runs there.
        """
        del total
        config, policy = self.config, state.policy
        key, key_act, key_learn = jax.random.split(state.key, 3)
        done = state.iteration * self.steps_per_iteration
        actors, played, noise = self.act(policy, state.actors, state.noise, key_act, done < config.learning_starts)
        error = jax.lax.cond(
            state.iteration <= first + 1,
            lambda: difference(played.said, recompute(policy, played, config.rollout_length)),
            lambda: jnp.zeros(()),
        )
        replay = store(self.spec, state.replay, played, self.keeps_states)
        learned = state.learned._replace(network=policy.network)
        ready = (done + self.steps_per_iteration >= config.learning_starts) & (self.spec.size(replay) > 0)
        learned, infos = self._learn(policy, learned, replay, key_learn, ready, state.iteration)
        fault = find_fault(
            played.finite,
            policy.to_environment(played.steps.action),
            played.steps.reward,
            error,
            first,
            config.rollout_length,
            learned.guard,
            config.max_skipped_updates,
        )
        metrics = metrics_of(played, infos, error)
        policy = eqx.tree_at(lambda p: p.network, policy, learned.network).observe(played.steps.observation)
        learned = learned._replace(network=None)
        return ContinuousState(policy, learned, actors, replay, key, state.iteration + 1, noise), metrics, fault

    def _first_noise(self, policy: Policy, key: PRNGKeyArray) -> Float[Array, "B A"] | None:
        if self.config.noise_correlation == 0:
            return None
        return policy.noise(jax.random.fold_in(key, 0), (self.config.num_envs,))

    def act(
        self,
        policy: Policy,
        actors: Actors,
        noise: Float[Array, "B A"] | None,
        key: PRNGKeyArray,
        random: Bool[Array, ""],
        rollouts: int = 1,
    ) -> tuple[Actors, Played, Float[Array, "B A"] | None]:
        """So many rollouts, one after another; uniformly random while `random`.

        Args:
            policy: acts.
            actors: where the environments stand.
            noise: of the actions before, where it goes on.
            key: for actions and environments.
            random: whether actions are uniform (one after another as much alike as the noise is).
            rollouts: how many.

        Returns:
            The actors afterwards, what was played, and the last actions' noise.
        """
        T, all_noise = rollouts * self.config.rollout_length, None
        if noise is not None:
            fresh = policy.noise(jax.random.fold_in(key, 0), (T, self.config.num_envs))
            all_noise = correlated_noise(noise, fresh, self.config.noise_correlation)
            noise = all_noise[-1]

        def choose(distribution: Any, noise: Float[Array, "B A"]) -> Float[Array, "B A"]:
            uniform = jax.scipy.special.erf(noise / 2**0.5)  # 2 Φ(noise) − 1
            return jnp.where(random, uniform, distribution.sample(noise))

        period = self.config.rollout_length
        played = play(policy, self.environments, actors, key, choose, length=T, period=period, noise=all_noise)
        return *played, noise

    def batch(self, policy: Policy, start: Start, steps: Step) -> Batch:
        """Sequences as the networks read them.

        Args:
            policy: makes their inputs.
            start: before the first step, leaves `[N, ...]`.
            steps: leaves `[K, N, ...]`.
        """
        inputs, following = sequence_inputs(policy, start, steps)
        return Batch(
            network_start(policy, start),
            inputs,
            steps.reset,
            following,
            steps.action,
            steps.reward,
            steps.terminated,
            steps.truncated,
        )

    def _learn(
        self,
        policy: Policy,
        learned: Learned,
        replay: Replay,
        key: PRNGKeyArray,
        ready: Bool[Array, ""],
        iteration: Int[Array, ""],
    ) -> tuple[Learned, dict[str, Array]]:
        """All gradient steps of an iteration; none while not `ready`, nor after too many bad ones in a row."""

        def step(learned: Learned, key: PRNGKeyArray) -> tuple[Learned, dict[str, Array]]:
            key_draw, key_step = jax.random.split(key)
            drawn = self.spec.sample(replay, key_draw, self.config.batch_size)
            return self.update.step(learned, self.batch(policy, drawn.states, drawn.steps), key_step, iteration)

        def one(learned: Learned, key: PRNGKeyArray) -> tuple[Learned, dict[str, Array]]:
            shapes = jax.eval_shape(step, learned, key)[1]
            nothing = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
            go = ready & (learned.guard.in_row < self.config.max_skipped_updates)
            learned, info = jax.lax.cond(go, step, lambda learned, _: (learned, nothing), learned, key)
            return learned, {**info, "skipped": go & ~info["taken"]}

        return jax.lax.scan(one, learned, jax.random.split(key, self.config.updates))

    def learning(self, state: ContinuousState) -> Learning:
        """The steps that would come next, in sequences from their stored states, and both losses over all of them.

        Not what is drawn from the replay: before learning starts there is nothing to draw.
        """
        k, policy = self.config.burn_in, state.policy
        steps = k + self.config.bptt_length
        key_act, key_step = jax.random.split(state.key, 3)[1:]
        rollouts, learned_actions = -(-steps // self.spec.period), jnp.zeros((), bool)
        _, played, _ = self.act(policy, state.actors, state.noise, key_act, learned_actions, rollouts)
        first = jax.tree.map(lambda x: x[0], played.starts)
        batch = self.batch(policy, first, jax.tree.map(lambda x: x[:steps], played.steps))
        learned, network = state.learned._replace(network=policy.network), policy.network
        critic = None if network.critic is None else self.update.begin(network.critic, batch.starts.critic, batch)
        return Learning(
            NetworkState(self.update.begin(network.actor, batch.starts.actor, batch), critic),
            batch.inputs[k:],
            batch.resets[k:],
            lambda *features: self.update.loss_of_features(learned, batch, key_step, *features),
        )
