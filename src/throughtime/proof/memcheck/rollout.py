"""A recorded rollout, from any library, as NumPy arrays: what memcheck's laws of rollouts are checked on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sequences:
    """The pieces that training unrolls, as the user's code built them: time-major, `[L, N, ...]`.

    Their place in the rollout is found by their contents, or told by `steps` and `rows`.

    Args:
        observations: what the policy reads, `[L, N, ...]` (any nesting of arrays).
        resets: true where an observation is the first of its episode, `[L, N]`.
        states: the state each sequence starts from, leaves `[N, ...]`.
        mask: true at real steps, false at padding, `[L, N]`; None where nothing is padded.
        actions, log_probs, values, rewards, advantages, returns: `[L, N, ...]`, those that the update reads.
        steps: the step of the rollout that each one came from, `[L, N]` integers; found by contents where None.
        rows: its row (environment), `[L, N]` integers; given together with `steps`.
        burn_in: how many first steps only warm the memory up.
        observation_gradients: the gradient of the training loss with respect to `observations`; for burn-in.
    """

    observations: Any = None
    resets: Any = None
    states: Any = None
    mask: Any = None
    actions: Any = None
    log_probs: Any = None
    values: Any = None
    rewards: Any = None
    advantages: Any = None
    returns: Any = None
    steps: Any = None
    rows: Any = None
    burn_in: int = 0
    observation_gradients: Any = None


@dataclass(frozen=True)
class Rollout:
    """T steps of B environments, time-major, `[T, B, ...]`. A law that lacks its arrays says which it needs.

    Args:
        observations: what the policy read at each step, `[T, B, ...]` (any nesting of arrays; with previous action
            and reward, where it reads them).
        resets: true where the observation is the first of its episode, `[T, B]`.
        terminated: the step ended the episode for good, `[T, B]`.
        truncated: a time limit cut the episode after the step, `[T, B]`.
        rewards: `[T, B]`, as the advantages read them.
        actions: `[T, B, ...]`, as the log-probabilities are of.
        log_probs: of the actions, when they were drawn, `[T, B]`.
        values: V(obs_t), `[T, B]`.
        states: the stored states, leaves `[S, B, ...]` (any nesting of arrays).
        state_steps: the steps that the S states belong to, ascending; None: one for each step.
        next_observation: obs_T, `[B, ...]`, which the policy has not read yet.
        last_values: V(obs_T), `[B]`.
        final_observations: the true last observation where an episode ended, `[T, B, ...]`; read there only.
        final_values: its value, with the memory carried into it, `[T, B]`; read where truncated only.
        advantages: `[T, B]`, before any standardisation.
        returns: the value targets, `[T, B]`.
        discount: γ.
        trace: λ.
        mask: true at steps that are trained on, `[T, B]`; None: all.
        autoreset: how the environments reset: "same-step", "next-step" or "disabled"; None: not told.
        sequences: what training unrolls.
    """

    observations: Any
    resets: Any
    terminated: Any = None
    truncated: Any = None
    rewards: Any = None
    actions: Any = None
    log_probs: Any = None
    values: Any = None
    states: Any = None
    state_steps: Sequence[int] | None = None
    next_observation: Any = None
    last_values: Any = None
    final_observations: Any = None
    final_values: Any = None
    advantages: Any = None
    returns: Any = None
    discount: float | None = None
    trace: float | None = None
    mask: Any = None
    autoreset: str | None = None
    sequences: Sequences | None = None
