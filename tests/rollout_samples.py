"""Recorded rollouts made by plain loops: a GRU policy in NumPy acts in random episodes, as docs/architecture.md has it.

Nothing of the library's rollouts, sequences or advantages is used, so that they can be compared with it.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from throughtime.proof.memcheck.rollout import Rollout, Sequences

A = 3  # actions


class GRUState(NamedTuple):
    h: np.ndarray  # [B, H]


class GRUPolicy:
    """A GRU with a softmax and a value head; the log-probabilities and the value are its output `[B, A + 1]`."""

    def __init__(self, seed: int = 0, inputs: int = 2, hidden: int = 5, dtype: type = np.float32, nest: bool = False):
        rng = np.random.default_rng(seed)
        draw = lambda *shape: rng.normal(size=shape).astype(dtype)  # noqa: E731
        self.wx, self.wh, self.b = draw(3, inputs, hidden), draw(3, hidden, hidden), draw(3, hidden)
        self.out = draw(hidden, A + 1)
        self.hidden, self.dtype, self.nest = hidden, dtype, nest

    def initial_state(self, batch):
        return self._wrap(np.zeros((batch, self.hidden), self.dtype))

    def step(self, state, obs, reset):
        h = state["memory"][0].h if self.nest else state.h
        obs = np.concatenate([obs["place"], obs["rest"]], axis=-1) if isinstance(obs, dict) else obs
        h = np.where(reset[:, None], np.zeros_like(h), h)
        sigmoid = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
        z = sigmoid(obs @ self.wx[0] + h @ self.wh[0] + self.b[0])
        r = sigmoid(obs @ self.wx[1] + h @ self.wh[1] + self.b[1])
        n = np.tanh(obs @ self.wx[2] + r * (h @ self.wh[2]) + self.b[2])
        h = (1 - z) * n + z * h
        return self._wrap(h), h @ self.out

    def log_prob(self, out, actions):
        logits = out[:, :A].astype(np.float64)
        logits = logits - logits.max(axis=1, keepdims=True)
        return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))[np.arange(len(out)), actions]

    def value(self, out):
        return out[:, A]

    def _wrap(self, h):
        return {"memory": (GRUState(h),)} if self.nest else GRUState(h)


def tree(function, *trees):
    first = trees[0]
    if isinstance(first, dict):
        return {k: tree(function, *(t[k] for t in trees)) for k in first}
    if isinstance(first, tuple):
        parts = [tree(function, *part) for part in zip(*trees, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
    return function(*trees)


def stack(trees):
    return tree(lambda *a: np.stack(a), *trees)


def correct(
    seed: int = 0,
    T: int = 24,
    B: int = 3,
    piece: int = 6,
    shortest: int = 3,
    longest: int = 8,
    discount: float = 0.9,
    trace: float = 0.8,
    fresh: bool = False,
    every_state: bool = False,
    nest: bool = False,
    dtype: type = np.float32,
) -> tuple[Rollout, GRUPolicy]:
    """A rollout in which all is right: acted, valued and cut by plain loops.

    `fresh` begins it with fresh episodes; else some steps are acted before it. `every_state` stores each state, else
    those of steps 0, piece, 2 · piece, …
    """
    rng = np.random.default_rng(seed)
    policy = GRUPolicy(seed, dtype=dtype, nest=nest)

    def observe(b):
        made = rng.normal(size=2).astype(dtype)
        return {"place": made[:1], "rest": made[1:]} if nest else made

    def batch(rows):
        return stack(rows)

    state, reset = policy.initial_state(B), np.ones(B, bool)
    left = rng.integers(shortest, longest + 1, size=B)
    obs = batch([observe(b) for b in range(B)])
    steps = []
    for t in range(-(0 if fresh else 2 * longest), T):
        before = state
        state, out = policy.step(state, obs, reset)
        actions = rng.integers(A, size=B)
        left -= 1
        over = left == 0
        kind = rng.integers(3, size=B)
        terminated, truncated = over & (kind != 1), over & (kind != 0)
        rewards = rng.normal(size=B).astype(dtype)
        following = batch([observe(b) for b in range(B)])
        final_value = policy.value(policy.step(state, following, np.zeros(B, bool))[1])
        final = following
        firsts = batch([observe(b) for b in range(B)])
        following = tree(lambda f, n: np.where(over[:, None], f, n), firsts, following)  # noqa: B023
        if t >= 0:
            steps.append(
                {
                    "observations": obs,
                    "resets": reset,
                    "terminated": terminated,
                    "truncated": truncated,
                    "rewards": rewards,
                    "actions": actions,
                    "log_probs": policy.log_prob(out, actions).astype(dtype),
                    "values": policy.value(out),
                    "states": before,
                    "final_observations": final,
                    "final_values": np.where(truncated, final_value, 0).astype(dtype),
                }
            )
        obs, reset = following, over
        left = np.where(over, rng.integers(shortest, longest + 1, size=B), left)
    record = {name: stack([s[name] for s in steps]) for name in steps[0]}
    last = policy.value(policy.step(state, obs, reset)[1])
    kept = list(range(T)) if every_state else list(range(0, T, piece))
    record["states"] = tree(lambda a: a[kept], record["states"])
    advantages = gae(record, last, discount, trace).astype(dtype)
    rollout = Rollout(
        **record,
        state_steps=None if every_state else kept,
        next_observation=obs,
        last_values=last,
        advantages=advantages,
        returns=advantages + record["values"],
        discount=discount,
        trace=trace,
        autoreset="same-step",
    )
    return replace(rollout, sequences=chunks(rollout, piece)), policy


def gae(record, last, discount, trace):
    """Row by row, backwards, from the definition."""
    rewards, values = record["rewards"].astype(float), record["values"].astype(float)
    T, B = rewards.shape
    made = np.zeros((T, B))
    for b in range(B):
        running = 0.0
        for t in reversed(range(T)):
            terminated, truncated = record["terminated"][t, b], record["truncated"][t, b]
            following = values[t + 1, b] if t + 1 < T else last[b]
            if truncated:
                following = record["final_values"][t, b]
            if terminated:
                following = 0.0
            if terminated or truncated:
                running = 0.0
            running = rewards[t, b] + discount * following - values[t, b] + discount * trace * running
            made[t, b] = running
    return made


FIELDS = ("observations", "resets", "actions", "log_probs", "values", "advantages", "returns")


def pieces_of(rollout: Rollout, places, length: int, order=None) -> Sequences:
    """Sequences from (first step, row, steps), padded with zeros to `length`."""
    places = list(places) if order is None else [list(places)[i] for i in order]

    def gather(a):
        made = np.zeros((length, len(places), *a.shape[2:]), a.dtype)
        for n, (t, b, steps) in enumerate(places):
            made[:steps, n] = a[t : t + steps, b]
        return made

    mask = np.zeros((length, len(places)), bool)
    for n, (_, _, steps) in enumerate(places):
        mask[:steps, n] = True
    at = list(range(len(rollout.resets))) if rollout.state_steps is None else list(rollout.state_steps)
    states = None
    if all(t in at for t, _, _ in places):
        states = tree(lambda a: np.stack([a[at.index(t), b] for t, b, _ in places]), rollout.states)
    fields = {name: tree(gather, getattr(rollout, name)) for name in FIELDS}
    return Sequences(**fields, states=states, mask=None if mask.all() else mask)


def chunks(rollout: Rollout, piece: int, order=None) -> Sequences:
    """Contiguous chunks of `piece` steps, starting from their stored states."""
    T, B = rollout.resets.shape
    return pieces_of(rollout, [(t, b, piece) for t in range(0, T, piece) for b in range(B)], piece, order)


def episodes(rollout: Rollout) -> Sequences:
    """One sequence for each episode (or part of one), padded to the longest; needs every state."""
    T, B = rollout.resets.shape
    places = []
    for b in range(B):
        starts = [0, *(t for t in range(1, T) if rollout.resets[t, b])]
        places += [(t, b, u - t) for t, u in zip(starts, [*starts[1:], T], strict=True)]
    return pieces_of(rollout, places, max(steps for _, _, steps in places))


def at_steps(rollout: Rollout) -> list[int]:
    """The steps of the stored states."""
    return list(range(len(rollout.resets))) if rollout.state_steps is None else list(rollout.state_steps)
