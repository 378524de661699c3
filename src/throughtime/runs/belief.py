"""What a policy's memory knows: probed for the exact belief and for the hidden state, beside its controls."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from throughtime.agents import Agent, Policy, policy_key
from throughtime.core import ConfigError
from throughtime.envs import Discrete, Environment
from throughtime.insight.belief import (
    GaussianBelief,
    accuracy,
    exact_belief,
    fit_probe,
    kalman_filter,
    mean_gaussian_kl,
    mean_kl,
    principal_plane,
    r_squared,
)
from throughtime.insight.belief.probe import Model
from throughtime.runs.trajectories import Trajectories, act_out, memory_states

Source = Literal["memory", "untrained", "observation", "observation and action", "shuffled"]
"""What a probe reads: the trained memory, or one of its controls.

untrained: the same network before its first update, reading the same inputs. observation: the present one alone.
observation and action: with the action before it. shuffled: the memory's state at another step of another episode."""
SOURCES: tuple[Source, ...] = ("memory", "untrained", "observation", "observation and action", "shuffled")
MODELS: tuple[Model, ...] = ("linear", "mlp")
LONGEST = 200  # steps of each row, at most
PLOTTED = 4_000  # states of the embedding, at most


class Beliefs(NamedTuple):
    """The exact belief at each step."""

    values: Float[np.ndarray, "T B S"]  # probabilities of the states, or the Gaussian belief's mean
    covariance: Float[np.ndarray, "T B S S"] | None  # of a Gaussian belief


class Row(NamedTuple):
    """The scores of one probe on held-out episodes; None where there is nothing to score."""

    source: Source
    model: Model
    belief_kl: float | None  # mean KL(exact ‖ probed), nats
    state_accuracy: float | None  # of a discrete hidden state
    state_r2: tuple[float, ...] | None  # of each number of a continuous one

    @property
    def mean_r2(self) -> float | None:
        """The mean of `state_r2`."""
        return None if self.state_r2 is None else float(np.mean(self.state_r2))


class Embedding(NamedTuple):
    """Held-out memory states in their principal plane."""

    points: Float[np.ndarray, "N 2"]
    shares: tuple[float, float]  # of the variance, along each axis
    hidden: np.ndarray  # the hidden state at each: int [N], or [N, D]
    belief: Float[np.ndarray, "N S"] | None  # the exact belief at each


class ProbedEpisode(NamedTuple):
    """One held-out episode: what is true, what could be known, and what the memory knows (by the linear probe)."""

    hidden: np.ndarray  # int [T], or [T, D]
    exact: Float[np.ndarray, "T S"] | None
    probed: Float[np.ndarray, "T S"]
    """Of the belief where it is known exactly, else of the hidden state."""


@dataclass(frozen=True, eq=False)
class BeliefProbe:
    """What was probed for, and how well it was read."""

    environment: str
    steps: int
    """Held-out steps."""
    episodes: int
    """Held-out episodes that were begun."""
    features: int
    """Numbers of the memory's state."""
    exact: Row | None
    """What the exact belief itself tells of the hidden state (model and source do not matter), or None."""
    rows: tuple[Row, ...]
    embedding: Embedding
    episode: ProbedEpisode

    def row(self, source: Source = "memory", model: Model = "linear") -> Row:
        """The scores of one probe."""
        return next(row for row in self.rows if (row.source, row.model) == (source, model))

    def as_json(self) -> dict[str, Any]:
        """All figures, without the embedding and the episode."""
        rows = [row._asdict() | {"state_r2_mean": row.mean_r2} for row in self.rows]
        exact = None
        if self.exact is not None:
            e = self.exact
            exact = {"state_accuracy": e.state_accuracy, "state_r2": e.state_r2, "state_r2_mean": e.mean_r2}
        return {
            "environment": self.environment,
            "held_out_steps": self.steps,
            "held_out_episodes": self.episodes,
            "features": self.features,
            "exact_belief": exact,
            "rows": rows,
        }


def probe_belief(
    policy: Policy,
    env: Environment,
    untrained: Policy,
    *,
    rows: int = 256,
    steps: int | None = None,
    seed: int = 0,
    deterministic: bool = True,
    models: Sequence[Model] = MODELS,
    sources: Sequence[Source] = SOURCES,
) -> BeliefProbe:
    """Probes the actor's memory on the policy's own episodes.

    Probes are fitted on `rows` rows and scored on as many others, with another seed.

    Args:
        policy: what acts, and whose memory is probed.
        env: where.
        untrained: for the control of that name: it reads the very inputs that `policy` read.
        rows: sequences for fitting, and again for scoring.
        steps: of each; by default the longest episode's, 200 at most.
        seed: of the episodes.
        deterministic: takes the most probable action; otherwise draws it.
        models: linear, mlp, or both.
        sources: the memory, and which controls.

    Raises:
        ConfigError: no rows or steps, or tables that what was seen contradicts.
    """
    steps = min(env.max_episode_steps or LONGEST, LONGEST) if steps is None else steps
    for name, value in (("rows", rows), ("steps", steps)):
        if value < 1:
            raise ConfigError(f"{name} = {value}", "Probes need examples.", f"Give {name} of 1 or more.")
    fitted, held_out = (
        act_out(policy, env, steps=steps, rows=rows, seed=s, deterministic=deterministic) for s in (seed, seed + 1)
    )
    parts = [_Part(policy, untrained, env, t, seed) for t in (fitted, held_out)]
    table = tuple(_score(parts, source, model, env, seed) for source in sources for model in models)
    return BeliefProbe(
        env.name,
        steps * rows,
        int(held_out.resets.sum()),
        parts[1].features("memory").shape[1],
        _exact_row(parts[1], env),
        table,
        _embedding(parts[1], seed),
        _episode(parts, env),
    )


def beliefs_of(env: Environment, trajectories: Trajectories) -> Beliefs | None:
    """The exact belief at each step, where the environment tells enough to compute it.

    Args:
        env: a finite POMDP (`tables`) or a linear-Gaussian one (`linear_gaussian`); else the answer is None.
        trajectories: what was seen and done.
    """
    tables, model = env.tables(), env.linear_gaussian()
    if tables is not None:
        values = exact_belief(tables, trajectories.observations, trajectories.actions, trajectories.resets)
        return Beliefs(values, None)
    if model is None:
        return None
    belief: GaussianBelief = kalman_filter(
        model, jnp.asarray(trajectories.observations), jnp.asarray(trajectories.resets)
    )
    return Beliefs(np.asarray(belief.mean), np.asarray(belief.covariance))


def untrained_policy(policy: Policy, agent: Agent, seed: int) -> Policy:
    """The policy that a training with that seed began with, reading inputs normalised as `policy` reads them.

    Args:
        policy: the trained one.
        agent: what was trained.
        seed: its training's.
    """
    fresh = eqx.filter_jit(agent.fresh_policy)(policy_key(seed))
    return eqx.tree_at(lambda p: p.observation_moments, fresh, policy.observation_moments, is_leaf=lambda x: x is None)


class _Part:
    """The examples for fitting, or those for scoring, rows and steps side by side: N = T · B."""

    def __init__(self, policy: Policy, untrained: Policy, env: Environment, trajectories: Trajectories, seed: int):
        self.policy, self.untrained, self.env, self.trajectories = policy, untrained, env, trajectories
        hidden = trajectories.hidden
        self.hidden = hidden.reshape(hidden.shape[0] * hidden.shape[1], *hidden.shape[2:])
        self.beliefs = beliefs_of(env, trajectories)
        self.belief = None if self.beliefs is None else _flat(self.beliefs.values)
        self._order = np.random.default_rng(seed).permutation(len(self.hidden))
        self._cache: dict[Source, np.ndarray] = {}

    def features(self, source: Source) -> Float[np.ndarray, "N F"]:
        """What a probe reads."""
        if source not in self._cache:
            self._cache[source] = self._features(source)
        return self._cache[source]

    def _features(self, source: Source) -> Float[np.ndarray, "N F"]:
        t = self.trajectories
        if source == "memory":
            return _flat(memory_states(self.policy.network.actor, t))
        if source == "untrained":
            return _flat(memory_states(self.untrained.network.actor, t))
        if source == "shuffled":
            return self.features("memory")[self._order]
        seen = t.observations.reshape(*t.resets.shape, -1)
        if source == "observation and action":
            seen = np.concatenate([seen, _previous_actions(t, self.env)], axis=2)
        return _flat(seen)


def _flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(x.shape[0] * x.shape[1], -1)


def _previous_actions(t: Trajectories, env: Environment) -> Float[np.ndarray, "T B A"]:
    """One-hot or as they are; zeros at the first step of an episode."""
    space = env.action_space
    actions = np.eye(space.n)[t.actions] if isinstance(space, Discrete) else t.actions.reshape(*t.resets.shape, -1)
    before = np.concatenate([np.zeros_like(actions[:1]), actions[:-1]])
    return np.where(t.resets[..., None], 0.0, before)


def _score(parts: Sequence[_Part], source: Source, model: Model, env: Environment, seed: int) -> Row:
    """Fits on the first part, scores on the second."""
    fit, test = parts
    x, held = fit.features(source), test.features(source)
    kl = None
    if fit.belief is not None and test.belief is not None and test.beliefs is not None:
        if test.beliefs.covariance is None:
            kl = mean_kl(test.belief, fit_probe(x, fit.belief, "distribution", model, seed=seed)(held))
        else:
            covariance = test.beliefs.covariance.reshape(len(held), *test.beliefs.covariance.shape[2:])
            probed = fit_probe(x, fit.belief, "vector", model, seed=seed)(held)
            kl = mean_gaussian_kl(test.belief, covariance, probed)
    if fit.hidden.ndim == 1:
        classes = int(max(fit.hidden.max(), test.hidden.max())) + 1
        said = fit_probe(x, np.eye(classes)[fit.hidden], "distribution", model, seed=seed)(held)
        return Row(source, model, kl, accuracy(test.hidden, said), None)
    said = fit_probe(x, fit.hidden, "vector", model, seed=seed)(held)
    return Row(source, model, kl, None, tuple(r_squared(test.hidden, said).tolist()))


def _exact_row(part: _Part, env: Environment) -> Row | None:
    """The ceiling: what is known of the hidden state by the one who knows the exact belief."""
    if part.belief is None:
        return None
    if part.hidden.ndim == 1:
        return Row("memory", "linear", 0.0, accuracy(part.hidden, part.belief), None)
    return Row("memory", "linear", 0.0, None, tuple(r_squared(part.hidden, part.belief).tolist()))


def _embedding(part: _Part, seed: int) -> Embedding:
    features = part.features("memory")
    plane = principal_plane(features)
    count = min(PLOTTED, len(features))
    chosen = np.random.default_rng(seed).choice(len(features), count, replace=False)
    belief = None if part.belief is None else part.belief[chosen]
    shares = (float(plane.shares[0]), float(plane.shares[1]))
    return Embedding(plane(features[chosen]), shares, part.hidden[chosen], belief)


def _episode(parts: Sequence[_Part], env: Environment) -> ProbedEpisode:
    """The first held-out episode of the first row."""
    fit, test = parts
    resets = test.trajectories.resets[:, 0]
    length = int(np.argmax(resets[1:])) + 1 if resets[1:].any() else len(resets)
    rows = np.arange(length) * test.trajectories.resets.shape[1]
    x, held = fit.features("memory"), test.features("memory")[rows]
    if fit.belief is not None and test.belief is not None and test.beliefs is not None:
        kind = "distribution" if test.beliefs.covariance is None else "vector"
        return ProbedEpisode(test.hidden[rows], test.belief[rows], fit_probe(x, fit.belief, kind)(held))
    if fit.hidden.ndim == 1:
        classes = int(max(fit.hidden.max(), test.hidden.max())) + 1
        return ProbedEpisode(test.hidden[rows], None, fit_probe(x, np.eye(classes)[fit.hidden], "distribution")(held))
    return ProbedEpisode(test.hidden[rows], None, fit_probe(x, fit.hidden, "vector")(held))
