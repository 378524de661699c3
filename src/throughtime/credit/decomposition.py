"""Return decomposition (RUDDER): learn to predict the return, and pay each step what it changed of the prediction.

    decomposition = ReturnDecomposition(DecompositionConfig(), features=8, actions=2, steps=50)
    state = decomposition.start(key)
    state = decomposition.learn(state, episodes, key)              # after each batch of complete episodes
    rewards = decomposition.rewards(state, episodes)               # [T, N], the same returns
    decomposition.status(state).said                               # why it is on, or off

All but `status` are pure functions that may run inside a compiled loop. The predictor has a say only while it is good
enough on episodes that it had not learned from yet; until then `rewards` gives the original ones.

Reference: Arjona-Medina, Gillhofer, Widrich, Unterthiner, Brandstetter & Hochreiter 2019, "RUDDER: Return decomposition
for delayed rewards", NeurIPS, arXiv 1806.07857.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError, did_you_mean, select_rows
from throughtime.credit.accumulator import Accumulator
from throughtime.credit.episodes import Episodes
from throughtime.credit.lessons import Lessons, add_latest, add_lessons, draw_lessons, no_lessons, ring, take
from throughtime.credit.predictor import PredictionLoss, ReturnPredictor
from throughtime.credit.redistribution import Correction, check_correction, redistribute
from throughtime.gradients import clip_by_global_norm
from throughtime.memory import make_memory, memory_options

Keep = Literal["worth", "latest"]
OWN = "accumulator"
"""The memory that is this folder's own (`Accumulator`); all others come from the registry."""
ON, ALIKE, FEW, WRONG = range(4)
"""What `verdict` gives: redistribution is on; all returns are alike; too few lessons; the error is too large."""


@dataclass(frozen=True)
class DecompositionConfig:
    """How returns are decomposed."""

    memory: str = "lstm"
    """The predictor's recurrence, a name that `throughtime memories` lists."""
    hidden_size: int = 16
    """Its hidden units."""
    memory_options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Its options, at the command line NAME VALUE pairs; where it has chrono initialisation, that is by default set to
    the longest episode."""
    knows_paid: bool = False
    """Adds what was paid so far to the prediction, so that only the rest is predicted: for tasks that pay on the way,
    too. ĝ_L is then right by itself, and the bound is about ĝ_t at all steps."""
    auxiliary: float = 0.5
    """Weight of the continuous prediction beside the prediction at the end."""
    trace: float = 1.0
    """λ of the continuous prediction's targets: 1 for the return itself, as in the paper; below, predictions of the
    steps after it are mixed in, which vary less."""
    learning_rate: float = 3e-3
    """Adam's."""
    decay: float = 0.0
    """Weight decay (AdamW's), of matrices alone."""
    batch_size: int = 64
    """Lessons of each gradient step."""
    updates: int = 50
    """Gradient steps for each batch of new episodes."""
    gradient_clip: float = 1.0
    """The largest norm of a gradient."""
    average: float = 0.99
    """Predictions are made with an exponential average of the weights; this much of it stays at each gradient step."""
    capacity: int = 2048
    """Lessons kept."""
    keep: Keep = "worth"
    """Which lessons stay once there is no room: those that are worth most (rare returns, large errors), or the latest,
    for returns that change with the policy."""
    focus: float = 0.5
    """Share of the lessons that is drawn in proportion to their errors."""
    least: int = 64
    """Lessons before which redistribution stays off."""
    window: int = 64
    """How many of the latest episodes the predictor is judged by, each before it learned from it."""
    bound: float = 0.5
    """Redistribution is on while the root mean square error of ĝ_L is at most this share of the returns' spread (with
    `knows_paid` that of ĝ_t at all steps, as a share of what a clock alone would be off by)."""
    correction: Correction = "uniform"
    """Where the prediction's error goes: spread evenly, or paid at the last step."""

    def __post_init__(self):
        for name in ("hidden_size", "batch_size", "updates", "capacity", "least", "window"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}", "It counts.", "Give 1 or more.")
        for name in ("learning_rate", "gradient_clip", "bound"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} = {getattr(self, name)}", "It has to be positive.", f"Raise {name}.")
        for name in ("average", "focus"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}", "It is a share below 1.", "Give 0 to 0.99.")
        if not 0 <= self.trace <= 1:
            raise ConfigError(f"trace = {self.trace}", "It lies between 0 and 1.")
        if self.auxiliary < 0:
            raise ConfigError(f"auxiliary = {self.auxiliary}", "It is a weight.", "Give 0 or more.")
        if self.least > self.capacity:
            raise ConfigError(
                f"least = {self.least} exceeds capacity = {self.capacity}.",
                "Redistribution would never begin.",
                "Keep more lessons, or ask for fewer.",
            )
        if self.keep not in get_args(Keep):
            raise ConfigError(f"keep = {self.keep!r}", "", did_you_mean(self.keep, get_args(Keep)))
        check_correction(self.correction)


class DecompositionState(NamedTuple):
    """All that is carried from one batch of episodes to the next."""

    trained: ReturnPredictor
    predictor: ReturnPredictor  # the average of its weights, which predicts
    optimiser: optax.OptState
    lessons: Lessons
    errors: Float[Array, " W"]  # of the latest episodes, each before it was learned from
    judged: Int[Array, ""]  # how many episodes that were, in all


class Status(NamedTuple):
    """Whether redistribution is on, for people."""

    on: bool
    lessons: int
    error: float  # root mean square, as a share of the spread; NaN where that is 0
    said: str  # a sentence


class ReturnDecomposition:
    """The learner: a predictor, its lessons, and the bound that it has to meet."""

    def __init__(self, config: DecompositionConfig, features: int, actions: int, steps: int):
        """Checks the settings; nothing is drawn yet.

        Args:
            config: how.
            features: F, numbers of an observation.
            actions: A, numbers of an action (`action_width`).
            steps: T, of the longest episode.

        Raises:
            ConfigError: an unknown memory or option, or a size below 1.
        """
        for name, value in (("features", features), ("actions", actions), ("steps", steps)):
            if value < 1:
                raise ConfigError(f"{name} = {value}", "It is a size.", "Give 1 or more.")
        self.config, self.features, self.actions, self.steps = config, features, actions, steps
        options: dict[str, Any] = dict(config.memory_options)
        known = {} if config.memory == OWN else memory_options(config.memory)
        if "chrono" in known and not {"chrono", "forget_bias"} & set(options):
            options["chrono"] = float(max(steps + 1, 2))
        self._options = options
        self._build(jax.random.key(0))  # refuses what cannot be, before anything is compiled
        self._optimiser = optax.adamw(config.learning_rate, weight_decay=config.decay, mask=_decayed)

    def _build(self, key: PRNGKeyArray) -> ReturnPredictor:
        config, (key_memory, key_readout) = self.config, jax.random.split(key)
        size = self.features + self.actions
        if config.memory == OWN:
            return ReturnPredictor(
                Accumulator(size, config.hidden_size, key=key_memory), key_readout, config.knows_paid
            )
        memory = make_memory(config.memory, size, config.hidden_size, key=key_memory, **self._options)
        return ReturnPredictor(memory, key_readout, config.knows_paid)

    def start(self, key: PRNGKeyArray) -> DecompositionState:
        """An untrained predictor without lessons."""
        predictor, config = self._build(key), self.config
        return DecompositionState(
            predictor,
            predictor,
            self._optimiser.init(eqx.filter(predictor, eqx.is_inexact_array)),
            no_lessons(config.capacity, self.steps, self.features, self.actions),
            jnp.zeros(config.window),
            jnp.zeros((), jnp.int32),
        )

    def learn(self, state: DecompositionState, episodes: Episodes, key: PRNGKeyArray) -> DecompositionState:
        """Judges the predictor by new episodes, stores them as lessons, and trains it.

        Args:
            state: as `start` or the last call returned it.
            episodes: N complete ones, of at most T steps; empty columns are passed over.
            key: for the draws of lessons.
        """
        config = self.config
        first = state.lessons.held == 0
        predictor, trained = (_rescaled(first, p, episodes) for p in (state.predictor, state.trained))
        present = episodes.lengths > 0
        alike = jnp.ones(present.shape)
        errors = self._missed(predictor.loss(episodes, alike, config.auxiliary), predictor.return_scale)
        places = ring(present, state.judged, config.window)
        if config.keep == "latest":
            lessons = add_latest(state.lessons, episodes, errors, state.judged)
        else:
            lessons = add_lessons(state.lessons, episodes, errors)
        state = state._replace(
            trained=trained,
            predictor=predictor,
            lessons=lessons,
            errors=state.errors.at[places].set(errors, mode="drop"),
            judged=state.judged + jnp.sum(present, dtype=jnp.int32),
        )
        keys = jax.random.split(key, config.updates)
        state, _ = jax.lax.scan(lambda s, k: (self._update(s, k), None), state, keys)
        return state

    def _missed(self, found: PredictionLoss, scale: Float[Array, ""]) -> Float[Array, " N"]:
        """By how much each episode was missed: |ĝ_L − G|, or the root mean square of ĝ_t − G over its steps."""
        return jnp.sqrt(found.continuous if self.config.knows_paid else found.main) * scale

    def _update(self, state: DecompositionState, key: PRNGKeyArray) -> DecompositionState:
        config = self.config
        columns, weights = draw_lessons(state.lessons, key, config.batch_size, config.focus)
        batch = take(state.lessons.episodes, columns)
        params, static = eqx.partition(state.trained, eqx.is_inexact_array)

        def loss(params: Any) -> tuple[Array, Array]:
            predictor = eqx.combine(params, static)
            found = predictor.loss(batch, weights, config.auxiliary, config.trace, state.predictor)
            return found.total, self._missed(found, predictor.return_scale)

        (_, missed), grads = jax.value_and_grad(loss, has_aux=True)(params)
        grads, _ = clip_by_global_norm(grads, config.gradient_clip)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes integers and floats
            updates, optimiser = self._optimiser.update(grads, state.optimiser, params)
        params = eqx.apply_updates(params, updates)
        kept = config.average
        averaged, rest = eqx.partition(state.predictor, eqx.is_inexact_array)
        averaged = jax.tree.map(lambda a, p: kept * a + (1.0 - kept) * p, averaged, params)
        # The scales to the bit: an average of equals would be rounded.
        averaged = eqx.tree_at(_scales, averaged, _scales(state.predictor))
        errors = state.lessons.errors.at[columns].set(missed)
        return state._replace(
            trained=eqx.combine(params, static),
            predictor=eqx.combine(averaged, rest),
            optimiser=optimiser,
            lessons=state.lessons._replace(errors=errors),
        )

    def error(self, state: DecompositionState) -> Float[Array, ""]:
        """The root mean square of what the latest episodes were missed by, as a share of the spread: see `bound`."""
        judged = jnp.arange(self.config.window, dtype=jnp.int32) < state.judged
        squares = jnp.where(judged, jnp.square(state.errors), 0.0)
        mean = jnp.sum(squares) / jnp.maximum(jnp.sum(judged), 1).astype(jnp.float32)
        return jnp.sqrt(mean) / (state.lessons.spread_of_rest if self.config.knows_paid else state.lessons.spread)

    def verdict(self, state: DecompositionState) -> Int[Array, ""]:
        """`ON`, or why not: `ALIKE`, `FEW` or `WRONG`."""
        good = self.error(state) <= self.config.bound  # false for NaN too
        found = jnp.where(good, ON, WRONG)
        found = jnp.where(state.lessons.held < self.config.least, FEW, found)
        alike = (state.lessons.held > 0) & ~(state.lessons.spread > 0)
        return jnp.where(alike, ALIKE, found).astype(jnp.int32)

    def rewards(self, state: DecompositionState, episodes: Episodes) -> Float[Array, "T N"]:
        """Redistributed rewards while the verdict is `ON`, else the original ones; each episode's sum stays.

        Args:
            state: not changed; the episodes may be others than those that it learned from.
            episodes: N complete ones.
        """
        original = jnp.where(episodes.inside, episodes.rewards, 0.0)
        moved = redistribute(episodes, state.predictor(episodes), self.config.correction)
        return jnp.where(self.verdict(state) == ON, moved, original)

    def status(self, state: DecompositionState) -> Status:
        """What `verdict` and `error` say, in words."""
        verdict, lessons = int(self.verdict(state)), int(state.lessons.held)
        error, bound = float(self.error(state)), self.config.bound
        spread = "what a clock would be off by" if self.config.knows_paid else "the returns' spread"
        said = {
            ON: f"Rewards are redistributed: the predictor is off by {error:.2f} of {spread} (at most {bound:g}).",
            ALIKE: f"Rewards stay as they are: all {lessons} episodes have the same return, so that there is nothing "
            "to decompose. Let the agent explore until one is rewarded.",
            FEW: f"Rewards stay as they are: {lessons} of {self.config.least} lessons.",
            WRONG: f"Rewards stay as they are: the predictor is off by {error:.2f} of {spread} (at most {bound:g}).",
        }[verdict]
        return Status(verdict == ON, lessons, error, said)


def _decayed(params: Any) -> Any:
    """Matrices decay; biases, initial states and scales do not."""
    return jax.tree.map(lambda x: x.ndim > 1, params)


def _rescaled(first: Array, predictor: ReturnPredictor, episodes: Episodes) -> ReturnPredictor:
    """The predictor, with scales of its first episodes where these are the first ones."""
    fresh = predictor.scaled_by(episodes)
    chosen = select_rows(first, _scales(fresh), _scales(predictor))
    return eqx.tree_at(_scales, predictor, chosen)


def _scales(predictor: ReturnPredictor) -> tuple[Any, Any]:  # of arrays, or of what `tree_at` puts in their place
    return predictor.input_scale, predictor.return_scale
