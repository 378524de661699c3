"""Saliency: on which past steps each action of an episode rests.

Two answers stand side by side. The *gradient* says what a small change of an observation would do; a memory that has
settled does not answer to small changes, so that the one cue an action hangs on may have a small share. The
*intervention* (`intervention.py`) says what another observation in its place would have done, at those steps where the
environment had another one to give.
"""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from throughtime.agents import Policy
from throughtime.proof.evidence.intervention import MemoryHorizon
from throughtime.proof.evidence.recording import Recording


@dataclass(frozen=True, eq=False)
class Saliency:
    """One episode of T steps.

    Args:
        norms: `[T, T]`, row t: ‖∂ log π(a_t | everything seen) / ∂(observation of step s)‖ at column s; 0 for s > t.
            Observations are as the network reads them: standardised, where it standardises them.
        shown: t, the step whose row is the example: the decision step whose action the past moves most by intervention
            (where none does: by gradient), or the last step.
        sources: `[S]`, steps s that were changed.
        effects: `[S]`, KL at step `shown` when step s is changed; NaN where the environment had no other observation.
        observations: `[T, F]`, raw.
        actions: `[T]` or `[T, A]`, as the environment took them.
    """

    norms: np.ndarray
    shown: int
    sources: np.ndarray
    effects: np.ndarray
    observations: np.ndarray
    actions: np.ndarray

    @property
    def shares(self) -> Float[np.ndarray, "T T"]:
        """Each row divided by its sum; NaN where an action's log-probability does not move at all."""
        total = self.norms.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(total > 0, self.norms / total, np.nan)


def saliency(policy: Policy, recording: Recording, horizon: MemoryHorizon) -> Saliency:
    """Of the first recorded episode, with all actions and rewards held fixed.

    Args:
        policy: the agent.
        recording: its episodes.
        horizon: what interventions on them showed.
    """
    row = 0
    T = int(np.asarray(recording.alive)[:, row].sum())
    inputs, actions = recording.inputs[:T, row : row + 1], recording.actions[:T, row : row + 1]
    norms = np.asarray(_norms(policy, inputs, actions))
    candidates = horizon.decision_steps[horizon.decision_steps < T]
    shown = T - 1
    if candidates.size:
        later = np.arange(horizon.effects.shape[1]) > horizon.sources[:, None]  # [S, T], lags of 1 or more
        moved = np.nan_to_num(np.where(later, horizon.effects, 0.0)).max(axis=0)[candidates]
        past = np.tril(norms, -1).sum(axis=1)[candidates]
        shown = int(candidates[np.argmax(moved if moved.max() >= horizon.threshold else past)])
    before = horizon.sources <= shown
    observations = np.asarray(recording.observations)[:T, row].reshape(T, -1)
    taken = np.asarray(policy.to_environment(actions))[:, 0]
    return Saliency(norms, shown, horizon.sources[before], horizon.effects[before, shown], observations, taken)


@eqx.filter_jit
def _norms(policy: Policy, inputs: Float[Array, "T 1 I"], actions: Array) -> Float[Array, "T T"]:
    T = inputs.shape[0]
    seen = int(np.prod(policy.observation_shape))
    resets = (jnp.arange(T) == 0)[:, None]

    def log_probs(inputs: Float[Array, "T 1 I"]) -> Float[Array, " T"]:
        _, distribution, _ = policy.network.unroll(policy.network.initial_state(1), inputs, resets)
        return distribution.log_prob(actions)[:, 0]

    _, pull = jax.vjp(log_probs, inputs)

    def one(t: Int[Array, ""]) -> Float[Array, " T"]:
        (gradient,) = pull((jnp.arange(T) == t).astype(inputs.dtype))
        return jnp.linalg.norm(gradient[:, 0, :seen], axis=-1)

    return jax.lax.map(one, jnp.arange(T))
