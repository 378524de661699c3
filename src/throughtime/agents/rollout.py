"""Acting: a batch of environments and a policy with memory, stepped together inside one compiled loop."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.agents.network import NetworkState
from throughtime.agents.policy import Policy, PolicyState
from throughtime.core import select_rows
from throughtime.envs import VectorEnvironment
from throughtime.envs.vector import VectorStep


class Actors(NamedTuple):
    """B environments in the middle of their episodes, and what the policy remembers of each."""

    environment: Any  # the environments' states
    observation: Float[Array, "B *shape"]  # obs_t, which the policy has not read yet
    reset: Bool[Array, " B"]  # obs_t is the first of its episode
    policy: PolicyState  # the state before obs_t
    reward: Float[Array, " B"]  # r_{t-1}
    episode_return: Float[Array, " B"]  # so far, discounted by the environment's own `discount` (1.0 for most)
    episode_length: Int[Array, " B"]


class Rollout(NamedTuple):
    """T steps of B environments, `[T, B, ...]`: all that the update needs."""

    inputs: Float[Array, "T B I"]  # what the network read, previous action and reward included
    resets: Bool[Array, "T B"]
    actions: Array  # as drawn
    log_probs: Float[Array, "T B"]
    values: Float[Array, "T B"]
    rewards: Float[Array, "T B"]
    terminated: Bool[Array, "T B"]
    truncated: Bool[Array, "T B"]
    final_values: Float[Array, "T B"]  # V(final observation); 0 where the step was not truncated
    observations: Float[Array, "T B *shape"]  # raw, for the normaliser
    successors: Float[Array, "T B *shape"]  # raw; the final observation where an episode ended
    finite: Bool[Array, "T B"]  # whether the observations and the reward are, and some action was allowed
    ended_returns: Float[Array, "T B"]  # of the episode that ended with this step, else 0
    ended_lengths: Int[Array, "T B"]
    wanted: Array | None = None  # what the environment's expert would have done; None where it was not asked


class Sequences(NamedTuple):
    """Contiguous sequences for BPTT: `[k, N, ...]`, and the states `[N, ...]` they start from."""

    starts: NetworkState
    inputs: Float[Array, "k N I"]
    resets: Bool[Array, "k N"]
    actions: Array
    log_probs: Float[Array, "k N"]
    values: Float[Array, "k N"]
    advantages: Float[Array, "k N"]
    targets: Float[Array, "k N"]
    wanted: Array | None = None


def start(policy: Policy, env: VectorEnvironment, key: PRNGKeyArray) -> Actors:
    """All environments at the first observation of an episode."""
    observation, state = env.reset(key)
    B = env.batch_size
    return Actors(
        state,
        observation,
        jnp.ones(B, bool),
        policy.initial_state(B),
        jnp.zeros(B),
        jnp.zeros(B),
        jnp.zeros(B, jnp.int32),
    )


def collect(
    policy: Policy,
    env: VectorEnvironment,
    actors: Actors,
    key: PRNGKeyArray,
    length: int,
    piece: int,
    expert_share: Float[Array, ""] | None = None,
    exploring_starts: float = 0.0,
) -> tuple[Actors, Rollout, NetworkState, Float[Array, " B"]]:
    """Acts for `length` steps.

    Args:
        policy: acts; its weights and its normaliser stay as they are throughout.
        env: the batch of environments.
        actors: where they stand.
        key: for actions and environments.
        length: T.
        piece: steps between stored states (the length of truncated BPTT); divides T.
        expert_share: asks the environment's expert at every step, and takes its action instead of the policy's own in
            this share of the steps; None: there is none to ask.
        exploring_starts: draws this share of the episodes' first actions from all that are allowed, each as likely.

    Returns:
        The actors after T steps; the rollout; the network's states *before* the observations of steps 0, piece,
        2·piece, …,
        `[T/piece, B, ...]`; and V(obs_T), `[B]`.
    """
    key_noise, key_env = jax.random.split(key)
    pieces = length // piece
    noise = policy.noise(key_noise, (length, env.batch_size))
    noise = noise.reshape(pieces, piece, *noise.shape[1:])
    keys = jax.random.split(key_env, (pieces, piece))
    led = None
    if expert_share is not None:
        led = jax.random.bernoulli(jax.random.fold_in(key, 1), expert_share, (pieces, piece, env.batch_size))
    opened = None
    if exploring_starts:
        opened = jax.random.bernoulli(jax.random.fold_in(key, 2), exploring_starts, (pieces, piece, env.batch_size))

    def one(actors: Actors, inputs):
        noise, key, led, opened = inputs
        state = policy.reset_where(actors.reset, actors.policy)
        x = policy.inputs(state, actors.observation, actors.reset, actors.reward)
        network, distribution, value = policy.network.step(state.network, x)
        action = distribution.sample(noise)
        wanted: Any = None
        if opened is not None:
            level: Any = distribution.levelled()  # pyright: ignore[reportAttributeAccessIssue]
            action = select_rows(opened & actors.reset, level.sample(noise), action)
        if led is not None:
            wanted = jax.vmap(env.env.expert)(actors.environment)
            action = select_rows(led, wanted, action)
        after, out, finite, ended_return, ended_length = move(policy, env, actors, network, action, key)
        step = Rollout(
            inputs=x,
            resets=actors.reset,
            actions=action,
            log_probs=distribution.log_prob(action),
            values=value,
            rewards=out.reward,
            terminated=out.terminated,
            truncated=out.truncated,
            final_values=_final_values(policy, after.policy, out),
            observations=actors.observation,
            successors=out.final_observation,
            finite=finite,
            ended_returns=ended_return,
            ended_lengths=ended_length,
            wanted=wanted,
        )
        return after, step

    def one_piece(actors: Actors, inputs):
        before = actors.policy.network
        actors, steps = jax.lax.scan(one, actors, inputs)
        return actors, (before, steps)

    actors, (starts, rollout) = jax.lax.scan(one_piece, actors, (noise, keys, led, opened))
    rollout = jax.tree.map(lambda x: x.reshape(length, *x.shape[2:]), rollout)
    return actors, rollout, starts, _next_values(policy, actors)


def move(
    policy: Policy, env: VectorEnvironment, actors: Actors, network: NetworkState, action: Array, key: PRNGKeyArray
) -> tuple[Actors, VectorStep, Bool[Array, " B"], Float[Array, " B"], Int[Array, " B"]]:
    """Takes an action in each environment.

    Args:
        policy: chose them.
        env: the batch of environments.
        actors: before the step.
        network: what the policy's network remembers after it has read `actors.observation`.
        action: as drawn.
        key: for the environments.

    Returns:
        The actors after it; what the environments said; whether all of that was finite (and an action mask allowed some
        action); and of the episodes that ended their return and length (0 elsewhere).
    """
    out = env.step(key, actors.environment, policy.to_environment(action))
    ended = out.terminated | out.truncated
    episode_return = actors.episode_return + _weight(env, actors.episode_length) * out.reward
    episode_length = actors.episode_length + 1
    finite = jnp.isfinite(out.reward)
    for observation in (actors.observation, out.obs, out.final_observation):
        finite &= _finite(observation)
    if policy.mask is not None:
        # The successor of a truncated step is valued, though never acted on; that of a terminated one is not.
        for observation, asked in ((actors.observation, True), (out.final_observation, ~out.terminated)):
            some = policy.mask.allows_any(observation.reshape(observation.shape[0], -1))
            finite &= some | ~jnp.asarray(asked)
    after = Actors(
        out.state,
        out.obs,
        ended,
        policy.remember(network, action),
        out.reward,
        jnp.where(ended, 0.0, episode_return),
        jnp.where(ended, 0, episode_length),
    )
    return after, out, finite, jnp.where(ended, episode_return, 0.0), jnp.where(ended, episode_length, 0)


def _next_values(policy: Policy, actors: Actors) -> Float[Array, " B"]:
    """V(obs_T), read with the memory carried into it; the actors themselves have not read it yet."""
    state = policy.reset_where(actors.reset, actors.policy)
    x = policy.inputs(state, actors.observation, actors.reset, actors.reward)
    return policy.network.step(state.network, x)[2]


def _final_values(policy: Policy, state: PolicyState, out: Any) -> Float[Array, " B"]:
    """V(final observation) where an episode was truncated, valued with the memory carried into it; 0 elsewhere.

    Costs a network step only in the time steps in which some episode is truncated.
    """
    cut = out.truncated & ~out.terminated

    def value(_):
        x = policy.inputs(state, out.final_observation, jnp.zeros_like(cut), out.reward)
        return jnp.where(cut, policy.network.step(state.network, x)[2], 0.0)

    return jax.lax.cond(jnp.any(cut), value, lambda _: jnp.zeros(cut.shape), None)


def _weight(env: VectorEnvironment, length: Int[Array, " B"]) -> Float[Array, " B"]:
    """What a reward after `length` steps counts in the score of an episode (not in training)."""
    if env.env.discount == 1.0:
        return jnp.ones(length.shape)
    return jnp.power(jnp.float32(env.env.discount), length.astype(jnp.float32))


def _finite(x: Float[Array, "B *shape"]) -> Bool[Array, " B"]:
    return jnp.all(jnp.isfinite(x), axis=tuple(range(1, x.ndim)))
