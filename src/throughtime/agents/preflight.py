"""What stops a training early: bad input, an agent that does not replay what it acted, many bad gradients in a row."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from throughtime.agents.policy import Policy
from throughtime.agents.rollout import Sequences
from throughtime.gradients import Guard

PREFLIGHT_TOLERANCE = 1e-5
# Rounding adds up along a recurrence: over 1,501 steps of standardised inputs 1.7e-5 to 2.4e-5 was seen.
PREFLIGHT_STEPS = 500
# A trained policy that is nearly deterministic amplifies rounding (1e-5 was seen at a standard deviation of 0.2).
RESUMED_TOLERANCE = 1e-3


class Fault(NamedTuple):
    """Why a chunk stopped early; `kind` 0 means it did not."""

    kind: Int[Array, ""]
    time: Int[Array, ""]  # step within the rollout
    environment: Int[Array, ""]
    action: Array  # as the environment took it
    reward: Float[Array, ""]
    replay_error: Float[Array, ""]
    guard: Guard  # where bad gradients came from


FAULT_NONE, FAULT_INPUT, FAULT_REPLAY, FAULT_GRADIENT = range(4)
# What the guard watches of the forward pass, by metric: the KL is not finite where a replayed log-probability is not.
FORWARD = {
    "approximate_kl": "replayed log-probabilities",
    "policy_loss": "policy loss",
    "value_loss": "value loss",
    "entropy": "entropy",
}


def replay_error_of(policy: Policy, sequences: Sequences) -> Float[Array, ""]:
    """The preflight: how far log-probabilities and values recomputed from the stored sequences are from acting's.

    The larger of max |log π(a) − log π_acted(a)| and max |V − V_acted| / max(1, |V_acted|). Anything above rounding
    means that training sees other inputs or states than acting did. A rollout that begins with fresh episodes
    overwrites its stored states before they are read, so the check runs in the first two iterations.
    """
    _, distribution, values = policy.network.unroll(sequences.starts, sequences.inputs, sequences.resets)
    error = jnp.maximum(
        jnp.abs(distribution.log_prob(sequences.actions) - sequences.log_probs),
        jnp.abs(values - sequences.values) / jnp.maximum(1.0, jnp.abs(sequences.values)),
    )
    return jnp.max(jnp.where(jnp.isnan(error), jnp.inf, error))


def find_fault(
    finite: Bool[Array, "T B"],
    actions: Array,
    rewards: Float[Array, "T B"],
    replay_error: Float[Array, ""],
    first: Int[Array, ""],
    steps: int,
    guard: Guard,
    max_skipped: int,
) -> Fault:
    """The first thing that went wrong in an iteration: bad input, then a failed replay, then bad gradients in a row.

    Args:
        finite: of each step, whether its observations and its reward were.
        actions: as the environments took them, `[T, B, ...]`.
        rewards: `[T, B]`.
        replay_error: how far what was recomputed is from what was said in acting.
        first: the iteration in which this process began.
        steps: how many in a row are recomputed from one stored state. A fresh training may be off by 1e-5, times
            steps / 500 where there are more than that, and by 1e-3 at most; a resumed one by 1e-3.
        guard: after the iteration's updates.
        max_skipped: so many bad gradients in a row are a fault.
    """
    fresh = min(PREFLIGHT_TOLERANCE * max(1.0, steps / PREFLIGHT_STEPS), RESUMED_TOLERANCE)
    tolerance = jnp.where(first == 0, fresh, RESUMED_TOLERANCE)
    bad = ~finite.reshape(-1)
    where = jnp.argmax(bad)
    B = finite.shape[1]
    kind = jnp.where(guard.in_row < max_skipped, FAULT_NONE, FAULT_GRADIENT)
    kind = jnp.where(replay_error <= tolerance, kind, FAULT_REPLAY)
    kind = jnp.where(jnp.any(bad), FAULT_INPUT, kind)
    return Fault(
        kind.astype(jnp.int32),
        (where // B).astype(jnp.int32),
        (where % B).astype(jnp.int32),
        actions.reshape(-1, *actions.shape[2:])[where],
        rewards.reshape(-1)[where],
        replay_error,
        guard,
    )
