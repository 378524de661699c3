"""What agents that learn from a replay share: acting into it, and reading sequences out of it.

What is kept of a step is raw: observation, action, reward, the two endings, and the true final observation where there
was one. The network's inputs (normalised observations, previous action and reward) are made when a sequence is drawn,
by the very function that makes them in acting.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from throughtime.agents.network import NetworkState
from throughtime.agents.policy import Policy, PolicyState
from throughtime.agents.rollout import Actors, move
from throughtime.core import select_rows
from throughtime.envs import VectorEnvironment
from throughtime.rl import Replay, SequenceReplay


class Step(NamedTuple):
    """What a replay keeps of one time step, `[..., B, ...]`."""

    observation: Float[Array, "..."]  # raw
    reset: Bool[Array, "*batch B"]  # the observation is the first of its episode
    action: Array  # as drawn
    reward: Float[Array, "*batch B"]
    terminated: Bool[Array, "*batch B"]
    truncated: Bool[Array, "*batch B"]
    final_observation: Float[Array, "..."]  # the true successor where the episode ended


class Start(NamedTuple):
    """What was there before the first observation of a piece was read, `[..., B, ...]`."""

    policy: PolicyState  # its `network` is None where sequences start from zero states
    reward: Float[Array, "*batch B"]  # r_{t-1}


class Played(NamedTuple):
    """T steps of B environments, in pieces of `period` steps."""

    steps: Step  # [T, B, ...]
    starts: Start  # [T / period, B, ...]
    said: Any  # (distribution, value) at each step, for the preflight
    finite: Bool[Array, "T B"]
    ended_returns: Float[Array, "T B"]  # of the episode that ended with this step, else 0
    ended_lengths: Int[Array, "T B"]


Choose = Callable[[Any, Array], Array]
"""(distribution, noise as `Policy.noise` makes it) -> action as drawn: how to explore."""


def play(
    policy: Policy,
    env: VectorEnvironment,
    actors: Actors,
    key: PRNGKeyArray,
    choose: Choose,
    *,
    length: int,
    period: int,
    noise: Array | None = None,
) -> tuple[Actors, Played]:
    """Acts for `length` steps.

    Args:
        policy: acts; its weights and its normaliser stay as they are throughout.
        env: the batch of environments.
        actors: where they stand.
        key: for actions and environments.
        choose: draws actions.
        length: T.
        period: steps between two states that are kept; divides T.
        noise: of the actions, `[T, B, ...]`; independent draws from `key` where None.
    """
    key_noise, key_env = jax.random.split(key)
    pieces = length // period
    noise = policy.noise(key_noise, (length, env.batch_size)) if noise is None else noise
    noise = noise.reshape(pieces, period, *noise.shape[1:])
    keys = jax.random.split(key_env, (pieces, period))

    def one(actors: Actors, inputs):
        noise, key = inputs
        state = policy.reset_where(actors.reset, actors.policy)
        x = policy.inputs(state, actors.observation, actors.reset, actors.reward)
        network, distribution, value = policy.network.step(state.network, x)
        action = choose(distribution, noise)
        after, out, finite, ended_return, ended_length = move(policy, env, actors, network, action, key)
        step = Step(
            actors.observation,
            actors.reset,
            action,
            out.reward,
            out.terminated,
            out.truncated,
            out.final_observation,
        )
        return after, (step, (distribution, value), finite, ended_return, ended_length)

    def one_piece(actors: Actors, inputs):
        start = Start(actors.policy, actors.reward)
        actors, steps = jax.lax.scan(one, actors, inputs)
        return actors, (start, steps)

    actors, (starts, steps) = jax.lax.scan(one_piece, actors, (noise, keys))
    step, *rest = jax.tree.map(lambda x: x.reshape(length, *x.shape[2:]), steps)
    return actors, Played(step, starts, *rest)


def empty_replay(spec: SequenceReplay, policy: Policy, actors: Actors, keep_states: bool) -> Replay:
    """A replay with room for what `play` gives."""
    B = actors.reset.shape[0]
    seen, flag = actors.observation, actors.reset
    step = Step(seen, flag, policy.no_action(B), actors.reward, flag, flag, seen)
    return spec.empty(step, _kept(Start(actors.policy, actors.reward), keep_states))


def store(spec: SequenceReplay, replay: Replay, played: Played, keep_states: bool) -> Replay:
    """Adds all pieces, oldest first, with the network's states or without."""
    pieces = jax.tree.map(lambda x: x.reshape(-1, spec.period, *x.shape[1:]), played.steps)

    def one(replay: Replay, piece):
        return spec.add(replay, *piece), None

    return jax.lax.scan(one, replay, (pieces, _kept(played.starts, keep_states)))[0]


def undo(spec: SequenceReplay, good: Bool[Array, ""], after: Replay, before: Replay) -> Replay:
    """The replay after an iteration that was good; else as if its pieces had never been added.

    The steps themselves are never copied: what the pieces overwrote was the oldest there was, and is given up.
    """
    rows = jnp.arange(spec.rows, dtype=jnp.int32)
    overwritten = (rows - before.pieces) % spec.rows < after.pieces - before.pieces
    old = jnp.where(overwritten[:, None], 0.0, before.priorities)
    return after._replace(
        priorities=jnp.where(good, after.priorities, old), pieces=jnp.where(good, after.pieces, before.pieces)
    )


def break_off(spec: SequenceReplay, replay: Replay, actors: Actors) -> Replay:
    """Says that the episodes under way go no further: their last stored steps are truncated.

    For environments that begin anew when a run is resumed. What the actors have not read yet is the true successor.
    """
    slot = (replay.pieces * spec.period - 1) % spec.capacity
    steps, goes_on = replay.steps, ~actors.reset & (replay.pieces > 0)
    final = select_rows(goes_on, actors.observation, steps.final_observation[slot])
    return replay._replace(
        steps=steps._replace(
            truncated=steps.truncated.at[slot].set(steps.truncated[slot] | goes_on),
            final_observation=steps.final_observation.at[slot].set(final),
        )
    )


def sequence_inputs(policy: Policy, start: Start, steps: Step) -> tuple[Float[Array, "L N I"], Float[Array, "L N I"]]:
    """What the network reads, or would read.

    Args:
        policy: makes the inputs.
        start: before the first step, leaves `[N, ...]`.
        steps: contiguous, leaves `[L, N, ...]`.

    Returns:
        The input of each step; and that of its final observation, which counts only where the episode ended.
    """
    before = None
    if policy.reads_previous_action:
        before = jnp.concatenate([jnp.asarray(start.policy.previous_action)[None], steps.action[:-1]])
        nothing = jnp.broadcast_to(policy.no_action(before.shape[1])[None], before.shape)
        before = select_rows(steps.reset, nothing, before)
    rewards = jnp.concatenate([start.reward[None], steps.reward[:-1]])

    def read(previous: Any, observation: Array, reset: Array, reward: Array) -> Array:
        state: Any = PolicyState(None, previous)  # pyright: ignore[reportArgumentType]
        return policy.inputs(state, observation, reset, reward)

    inputs = jax.vmap(read)(before, steps.observation, steps.reset, rewards)
    action = steps.action if policy.reads_previous_action else None
    finals = jax.vmap(read)(action, steps.final_observation, jnp.zeros_like(steps.reset), steps.reward)
    return inputs, finals


def network_start(policy: Policy, start: Start) -> NetworkState:
    """The stored network states `[N, ...]`, or initial ones where none are stored."""
    stored: Any = start.policy.network
    return policy.network.initial_state(start.reward.shape[0]) if stored is None else stored


Unroll = Callable[[Any, Float[Array, "L M I"], Bool[Array, "L M"]], PyTree]
"""(states [M, ...], inputs, resets) -> what is put out, leaves [L, M, ...]."""


def at_finals(
    unroll: Unroll,
    start: Any,
    inputs: Float[Array, "L N I"],
    finals: Float[Array, "L N I"],
    resets: Bool[Array, "L N"],
    truncated: Bool[Array, "L N"],
) -> PyTree:
    """What a network with memory puts out at final observations, read with the memory carried into them.

    After a truncated step comes the first observation of another episode, which resets the memory. The final
    observation is read in its place, without the reset. That leaves the episode which follows with the wrong memory;
    so the sequences are unrolled twice, side by side, and final observations are put in at every other truncation: in
    the one at the first, third, …, in the other at the second, fourth, …. Each is then reached with the right memory,
    by two unrolls of whole sequences, where stepping into each of them would take a loop over time.

    Args:
        unroll: the network.
        start: its states before the first step, leaves `[N, ...]`.
        inputs: of each step. The last is there for its place alone.
        finals: the input of each step's final observation; what it is matters only where `truncated`.
        resets: of each step; true after each truncated one.
        truncated: whose final observation counts (not where the step terminated, too). The last is not looked at.

    Returns:
        Leaves `[L − 1, N, ...]`: at t what is put out after the final observation of step t; anything where not
        `truncated`.
    """
    N = resets.shape[1]
    truncated = truncated[:-1]
    odd = jnp.cumsum(truncated, axis=0, dtype=jnp.int32) % 2 == 1

    def put_in(chosen: Bool[Array, "K N"]) -> tuple[Array, Array]:
        here = jnp.concatenate([jnp.zeros((1, N), bool), chosen])
        shifted = jnp.concatenate([inputs[:1], finals[:-1]])
        return select_rows(here, shifted, inputs), resets & ~here

    copies = [put_in(truncated & odd), put_in(truncated & ~odd)]
    xs, flags = (jnp.concatenate(parts, axis=1) for parts in zip(*copies, strict=True))
    out = unroll(jax.tree.map(lambda x: jnp.concatenate([x, x]), start), xs, flags)
    return jax.tree.map(lambda y: select_rows(odd, y[1:, :N], y[1:, N:]), out)


def difference(said: PyTree, recomputed: PyTree) -> Float[Array, ""]:
    """The preflight: max |a − b| / max(1, |a|) over all that was said in acting and recomputed from what was stored."""
    errors = [
        jnp.max(jnp.abs(b - a) / jnp.maximum(1.0, jnp.abs(a)))
        for a, b in zip(jax.tree.leaves(said), jax.tree.leaves(recomputed), strict=True)
    ]
    error = jnp.max(jnp.stack(errors))
    return jnp.where(jnp.isnan(error), jnp.inf, error)


def recompute(policy: Policy, played: Played, period: int) -> PyTree:
    """What was said in acting, from the stored steps and states: each piece of `period` steps unrolled from its start.

    Args:
        policy: acted.
        played: what it did, starts every so many steps.
        period: a multiple of the steps between two starts; those in between are not used.
    """
    pieces = jax.tree.map(lambda x: x.reshape(-1, period, *x.shape[1:]), played.steps)

    def one(piece):
        start, steps = piece
        inputs, _ = sequence_inputs(policy, start, steps)
        _, distribution, values = policy.network.unroll(network_start(policy, start), inputs, steps.reset)
        return distribution, values

    every = len(played.starts.reward) // len(pieces.reward)
    starts = jax.tree.map(lambda x: x[::every], played.starts)
    said = jax.lax.map(one, (starts, pieces))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), said)


def _kept(start: Start, states: bool) -> Start:
    none: Any = None
    return start if states else start._replace(policy=start.policy._replace(network=none))
