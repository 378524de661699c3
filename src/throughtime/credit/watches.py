"""The pocket watch learned by tables: with redistributed rewards, by Monte Carlo, and by TD(λ), on equal terms.

All methods meet the same kind of episodes in batches: ε-greedy by their own values at the first step, which is the only
one that decides anything (later actions are "leave", as in the published code). They differ in their targets alone:

- `rudder`: Σ_k λ^k r'_{t+k}, redistributed rewards, averaged over all episodes so far under the present predictor.
  While that is not good enough yet, what `monte-carlo` with 1/n does.
- `monte-carlo`: the return, with a constant step or 1/n.
- `td`: TD(λ), with a constant step or 1/n.

A method is *right* after a batch where the greedy action is the exact optimum's for each of the four brands, ties not
counted. Its score is the first number of episodes after which it is right and stays right up to the last episode.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError, did_you_mean
from throughtime.credit.decomposition import (
    ON,
    DecompositionConfig,
    DecompositionState,
    ReturnDecomposition,
    Status,
)
from throughtime.credit.episodes import Episodes, play_episodes
from throughtime.credit.tabular import (
    ActionValues,
    lambda_targets,
    learn_towards,
    mean_targets,
    no_values,
    returns_to_go,
)
from throughtime.envs import PocketWatch

Method = Literal["rudder", "monte-carlo", "td"]
REPAIR, LEAVE = 0, 1


@dataclass(frozen=True)
class WatchConfig:
    """One learner of the pocket watch."""

    method: Method = "rudder"
    """rudder, monte-carlo or td."""
    episodes: int = 1_000
    """Episodes in all. Being right counts only where it lasts until then."""
    batch: int = 10
    """Episodes played with the same values, and looks at the greedy policy."""
    explore: float = 1.0
    """ε: how often the first action is drawn at random; with 1 always, and the greedy policy is learned beside it."""
    step: float = 0.0
    """α of monte-carlo and td; 0 for 1/n."""
    trace: float = 0.95
    """λ of td. Of rudder: how much an action is credited with the redistributed rewards of the steps after it; 0 for
    its own alone, which is right where redistribution is optimal, 1 for their sum, which is the return."""
    decomposition: DecompositionConfig = field(default_factory=DecompositionConfig)

    def __post_init__(self):
        if self.method not in get_args(Method):
            raise ConfigError(f"There is no method {self.method!r}.", "", did_you_mean(self.method, get_args(Method)))
        if self.batch < 1 or self.episodes < self.batch or self.episodes % self.batch:
            raise ConfigError(
                f"episodes = {self.episodes} with batch = {self.batch}",
                "Episodes are played in whole batches.",
                f"Take episodes = {max(1, self.episodes // max(self.batch, 1)) * max(self.batch, 1)}.",
            )
        for name in ("explore", "step", "trace"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} = {getattr(self, name)}", "It lies between 0 and 1.")


class WatchResult(NamedTuple):
    """What one training came to."""

    right: Bool[np.ndarray, " K"]  # after each batch
    on: Bool[np.ndarray, " K"]  # whether rewards were redistributed
    episodes: int | None  # until right for good; None where it never was
    values: Float[np.ndarray, "K 4 2"]  # after each batch, of each first action for each brand
    seconds: float
    status: Status | None  # of the decomposition, at the end
    state: DecompositionState | None
    played: Episodes | None  # the episodes of rudder


class _Play(NamedTuple):
    episodes: Episodes
    rows: Int[Array, "T1 N"]  # the states' rows in the table
    actions: Int[Array, "T N"]


def lasting(right: Bool[np.ndarray, " K"], batch: int) -> int | None:
    """The number of episodes after which the last unbroken run of right batches begins, or None if it ends wrong."""
    if not len(right) or not right[-1]:
        return None
    wrong = np.flatnonzero(~right)
    return batch * (1 if not len(wrong) else int(wrong[-1]) + 2)


class Watches:
    """The environment with its table, and the learners."""

    def __init__(self, env: PocketWatch, config: WatchConfig):
        """Compiles nothing yet.

        Args:
            env: how long a delivery takes.
            config: the learner.
        """
        self.env, self.config = env, config
        start = [env.reset(jax.random.key(0))[1]._replace(brand=jnp.int32(b)) for b in range(4)]
        self.starts = jnp.stack([env.index(s) for s in start])
        best = env.action_values().argmax(axis=1)
        self.best = jnp.asarray(best, jnp.int32)
        self._decomposition = ReturnDecomposition(config.decomposition, 8, 2, env.length)
        self._baseline = jax.jit(self._run_baseline)
        self._batch = jax.jit(self._rudder_batch)

    @property
    def decomposition(self) -> ReturnDecomposition:
        """The learner of `rudder`."""
        return self._decomposition

    def run(self, seed: int, progress: Callable[[int], None] | None = None) -> WatchResult:
        """One training.

        Args:
            seed: of everything.
            progress: called with the episodes done (rudder).
        """
        began = time.perf_counter()
        key = jax.random.key(seed)
        if self.config.method != "rudder":
            right, values = jax.device_get(self._baseline(key))
            score = lasting(right, self.config.batch)
            seconds = time.perf_counter() - began
            return WatchResult(right, np.zeros_like(right), score, values, seconds, None, None, None)
        return self._run_rudder(key, began, progress)

    def play(self, table: ActionValues, key: PRNGKeyArray, explore: float) -> _Play:
        """A batch of episodes, ε-greedy at the first step; equal values are drawn among."""
        env, N = self.env, self.config.batch

        def act(key: PRNGKeyArray, obs: Array, state: Any, now: Array) -> Array:
            del obs
            values = table.values[jax.vmap(env.index)(state)]
            key_tie, key_explore, key_random = jax.random.split(key, 3)
            tie = jax.random.bernoulli(key_tie, 0.5, (N,))
            greedy = (values[:, LEAVE] > values[:, REPAIR]) | ((values[:, LEAVE] == values[:, REPAIR]) & tie)
            random = jax.random.bernoulli(key_random, 0.5, (N,))
            chosen = jnp.where(jax.random.bernoulli(key_explore, explore, (N,)), random, greedy)
            return jnp.where(now == 0, chosen.astype(jnp.int32), LEAVE)

        episodes, states, actions = play_episodes(env, act, N, key)
        return _Play(episodes, jax.vmap(jax.vmap(env.index))(states), actions)

    def right(self, table: ActionValues) -> Bool[Array, ""]:
        """Whether the greedy first action is the exact optimum's for all four brands."""
        values = table.values[self.starts]
        chosen = jnp.take_along_axis(values, self.best[:, None], axis=1)
        other = jnp.take_along_axis(values, 1 - self.best[:, None], axis=1)
        return jnp.all(chosen > other)

    def _run_baseline(self, key: PRNGKeyArray) -> tuple[Array, Array]:
        config = self.config

        def learn(table: ActionValues, played: Any) -> tuple[ActionValues, None]:
            rewards, inside, rows, actions = played
            if config.method == "td":
                values = jnp.where(inside, table.values[rows[:-1], actions], 0.0)
                after = jnp.concatenate([inside[1:], jnp.zeros(1, bool)])
                following = jnp.where(after, jnp.max(table.values[rows[1:]], axis=1), 0.0)
                targets = lambda_targets(rewards, values, following, config.trace)
            else:
                targets = returns_to_go(rewards)
            return learn_towards(table, rows[:-1], actions, targets, inside, config.step), None

        def batch(table: ActionValues, key: PRNGKeyArray) -> tuple[ActionValues, tuple[Array, Array]]:
            e, rows, actions = self.play(table, key, config.explore)
            columns = (e.rewards.T, e.inside.T, rows.T, actions.T)
            table, _ = jax.lax.scan(learn, table, columns)
            return table, (self.right(table), table.values[self.starts])

        keys = jax.random.split(key, config.episodes // config.batch)
        return jax.lax.scan(batch, no_values(self.env.states, 2), keys)[1]

    def _run_rudder(self, key: PRNGKeyArray, began: float, progress: Callable[[int], None] | None) -> WatchResult:
        config, env = self.config, self.env
        N, T = config.episodes, env.length
        key_start, key = jax.random.split(key)
        table = no_values(env.states, 2)
        state = self._decomposition.start(key_start)
        archive = _Play(
            Episodes(jnp.zeros((T + 1, N, 8)), jnp.zeros((T, N, 2)), jnp.zeros((T, N)), jnp.full(N, T, jnp.int32)),
            jnp.zeros((T + 1, N), jnp.int32),
            jnp.zeros((T, N), jnp.int32),
        )
        rows = []
        for number, batch_key in enumerate(jax.random.split(key, N // config.batch)):
            table, state, archive, row = self._batch(batch_key, state, archive, table, jnp.int32(number))
            rows.append(row)
            if progress is not None:
                progress((number + 1) * config.batch)
        right, on, values = (np.stack(column) for column in zip(*jax.device_get(rows), strict=True))
        score, status = lasting(right, config.batch), self._decomposition.status(state)
        seconds = time.perf_counter() - began
        return WatchResult(right, on, score, values, seconds, status, state, archive.episodes)

    def _rudder_batch(
        self, key: PRNGKeyArray, state: DecompositionState, archive: _Play, table: ActionValues, number: Array
    ) -> tuple[ActionValues, DecompositionState, _Play, tuple[Array, Array, Array]]:
        config, decomposition = self.config, self._decomposition
        key_play, key_learn = jax.random.split(key)
        played = self.play(table, key_play, config.explore)
        state = decomposition.learn(state, played.episodes, key_learn)
        place = number * config.batch

        def put(all: Array, new: Array) -> Array:
            axis = 0 if all.ndim == 1 else 1
            return jax.lax.dynamic_update_slice_in_dim(all, new, place, axis)

        archive = jax.tree.map(put, archive, played)
        known = jnp.arange(config.episodes, dtype=jnp.int32) < place + config.batch
        inside = archive.episodes.inside & known[None]
        on = decomposition.verdict(state) == ON
        # What the predictor finds out late about an action comes with the next few steps' rewards.
        moved = returns_to_go(decomposition.rewards(state, archive.episodes), config.trace)
        targets = jnp.where(on, moved, returns_to_go(archive.episodes.rewards))
        table = mean_targets(table, archive.rows[:-1], archive.actions, targets, inside)
        return table, state, archive, (self.right(table), on, table.values[self.starts])
