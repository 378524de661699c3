"""Training on a task: the five steps of backpropagation through time, in compiled chunks."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from throughtime.core import ConfigError, select_rows
from throughtime.gradients import Guard, clip, parameter_names
from throughtime.gradients.flow import Flow
from throughtime.tasks.base import RECURRENT, Task, TaskConfig
from throughtime.tasks.flow import TaskMicroscope


class TaskState(NamedTuple):
    """Everything that training carries from one update to the next."""

    model: Any
    optimiser: optax.OptState
    guard: Guard
    key: PRNGKeyArray
    update: Int[Array, ""]


class Progress(NamedTuple):
    """Where a training stands, after a look at the validation loss."""

    update: int
    updates: int
    seconds: float  # since it began, compilation included
    loss: float  # mean training loss since the last look
    validation_loss: float


@dataclass(frozen=True)
class TaskResult:
    """A finished training."""

    task: Task
    config: TaskConfig
    seed: int
    model: Any
    scores: dict[str, float]
    """Of the final model on held-out data."""
    curve: tuple[Progress, ...]
    flows: tuple[tuple[int, Flow], ...]
    """(updates, what the gradient microscope saw), where it was asked to look."""
    skipped: int
    """Updates that were left out because their gradient was not finite."""
    parameters: int
    seconds: float
    """Wall clock of data, compilation and training; evaluation is not in it."""
    examples: tuple[Any, ...] = ()
    """What the report shows of the final model: the task's `showcase`."""

    @property
    def score(self) -> float:
        """The headline score."""
        return self.scores[self.task.score]


def training_step(task: Task, config: TaskConfig, state: TaskState, data: PyTree) -> tuple[TaskState, Float[Array, ""]]:
    """One update: the five steps of training by backpropagation through time.

    Args:
        task: what to learn.
        config: how.
        state: before the update.
        data: the task's data.

    Returns:
        The state after the update, and the loss before it.
    """
    key, key_batch, key_loss = jax.random.split(state.key, 3)
    batch = task.batch(data, config.batch_size, key_batch)
    progress = state.update / config.updates

    # Steps 1 and 2, forward pass and loss: the unroll inside the model keeps the hidden states, and the loss is taken
    # over all steps that have a target.
    loss, backpropagate = eqx.filter_vjp(lambda model: task.loss(model, batch, key_loss, progress), state.model)

    # Step 3, backpropagation through time: from the last step to the first, through every copy of the shared weights.
    (grads,) = backpropagate(jnp.ones_like(loss))

    # Step 4, gradient clipping; an update whose gradient is not finite is left out and counted.
    finite, guard = state.guard.check(grads, [loss])
    params, static = eqx.partition(state.model, eqx.is_inexact_array)
    grads, _ = clip(grads, params, config.gradient_clip_by, config.gradient_clip)

    # Step 5, the update of the shared weights.
    with jax.numpy_dtype_promotion("standard"):  # optax mixes integers and floats
        updates, optimiser = _optimiser(config).update(grads, state.optimiser, params)
    after = (eqx.apply_updates(params, updates), optimiser)
    params, optimiser = select_rows(finite, after, (params, state.optimiser))
    return TaskState(eqx.combine(params, static), optimiser, guard, key, state.update + 1), loss


def train_task(
    task: Task,
    config: TaskConfig | None = None,
    *,
    seed: int = 0,
    flow_every: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> TaskResult:
    """Trains a model on a task and scores it on held-out data.

    Args:
        task: what to learn, for example `make_task("adding", length=100)`.
        config: how; the task's defaults for a GRU where None.
        seed: of the model's weights, the batches and the held-out examples.
        flow_every: looks through the gradient microscope before the first update, together with the validation loss
            wherever so many updates have passed since, and at the end; None for never. Training stays the same.
        progress: called after each look at the validation loss.

    Raises:
        ConfigError: settings or data that cannot work, before anything is compiled.
        NonFiniteError: `config.max_skipped` updates in a row had a gradient that is not finite.
    """
    began = time.perf_counter()
    config = config or task.defaults("gru")
    if flow_every is not None and flow_every < 1:
        raise ConfigError(f"flow_every is {flow_every}", "Looks lie at least one update apart.", "Set it to 100.")
    if flow_every is not None and task.architecture == "one-to-one":
        raise ConfigError(f"{task.name} has no sequences", "No gradient flows through time.", "Leave out the flow.")
    data = jax.tree.map(jnp.asarray, task.load())
    key_model, key_train, key_valid, key_test = jax.random.split(jax.random.key(seed), 4)
    state = _start(task, config, data, key_model, key_train)
    microscope = None if flow_every is None else TaskMicroscope(task, data)
    flows = [] if microscope is None else [(0, microscope.look(state.model, key_valid))]
    chunk = _compile_chunk(task, config)
    curve: list[Progress] = []
    best, best_loss, done = state.model, math.inf, 0
    while done < config.updates:
        count = min(config.validate_every, config.updates - done)
        state, loss, validation_loss = chunk(state, data, jnp.int32(count), key_valid)
        done += count
        point = Progress(done, config.updates, time.perf_counter() - began, float(loss), float(validation_loss))
        if int(state.guard.in_row) >= config.max_skipped:
            raise state.guard.error(parameter_names(state.model), ["loss"])
        if point.validation_loss <= best_loss:
            best, best_loss = state.model, point.validation_loss
        curve.append(point)
        if progress is not None:
            progress(point)
        if microscope is not None and flow_every is not None and done - flows[-1][0] >= flow_every:
            flows.append((done, microscope.look(state.model, key_valid)))
        if config.target is not None and point.validation_loss < config.target:
            break
    if microscope is not None and flows[-1][0] < done:
        flows.append((done, microscope.look(state.model, key_valid)))
    seconds = time.perf_counter() - began
    model = best if config.keep_best else state.model
    scores = {name: float(value) for name, value in task.evaluate(model, data, key_test).items()}
    examples = tuple(task.showcase(model, data, key_test))
    parameters = sum(p.size for p in jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array)))
    return TaskResult(
        *(task, config, seed, model, scores, tuple(curve), tuple(flows), int(state.guard.skipped), parameters, seconds),
        examples=examples,
    )


def _start(task: Task, config: TaskConfig, data: PyTree, key_model: PRNGKeyArray, key_train: PRNGKeyArray) -> TaskState:
    """A fresh model."""
    model = eqx.filter_jit(lambda data, key: task.model(data, config, key))(data, key_model)
    params = eqx.filter(model, eqx.is_inexact_array)
    return TaskState(
        model, _optimiser(config).init(params), Guard.create(params, 1), key_train, jnp.zeros((), jnp.int32)
    )


def _compile_chunk(task: Task, config: TaskConfig) -> Any:
    """Up to `count` updates and then the validation loss, as one compiled program."""

    def run(state, data, count, key_valid):
        state, loss = _updates(task, config, state, data, count)
        valid = task.loss(state.model, task.validation_batch(data, key_valid), None, state.update / config.updates)
        return state, loss, valid

    return eqx.filter_jit(run)


def _updates(
    task: Task, config: TaskConfig, state: TaskState, data: PyTree, count: Int[Array, ""]
) -> tuple[TaskState, Float[Array, ""]]:
    """Up to `count` updates, fewer after too many in a row that were skipped, and their mean loss."""

    def more(carry):
        state, _, i = carry
        return (i < count) & (state.guard.in_row < config.max_skipped)

    def body(carry):
        state, total, i = carry
        state, loss = training_step(task, config, state, data)
        return state, total + loss.astype(jnp.float32), i + 1

    begin = (state, jnp.zeros(()), jnp.zeros((), jnp.int32))
    state, total, i = eqx.internal.while_loop(more, body, begin, kind="lax")
    return state, total / i.astype(jnp.float32)


def _optimiser(config: TaskConfig) -> optax.GradientTransformation:
    rate: Any = config.learning_rate
    if config.anneal:
        rate = optax.warmup_cosine_decay_schedule(
            0.0 if config.warm_up else rate, rate, config.warm_up, max(config.updates, config.warm_up + 1)
        )
    elif config.warm_up:
        rate = optax.linear_schedule(0.0, rate, config.warm_up)
    return optax.chain(
        optax.scale_by_adam(),
        optax.add_decayed_weights(config.weight_decay) if config.weight_decay else optax.identity(),
        _slowed(config.recurrent_rate),
        optax.scale_by_learning_rate(rate),
    )


def _slowed(factor: float) -> optax.GradientTransformation:
    """Multiplies the updates of recurrent parameters."""
    if factor == 1.0:
        return optax.identity()

    def update(updates, params=None):
        del params
        return jax.tree_util.tree_map_with_path(
            lambda path, u: factor * u if getattr(path[-1], "name", "") in RECURRENT else u, updates
        )

    return optax.stateless(update)


def step_milliseconds(task: Task, config: TaskConfig, *, repeats: int = 20) -> float:
    """Milliseconds of one `training_step`, median over calls of ten updates each, compilation left out."""
    data, key = jax.tree.map(jnp.asarray, task.load()), jax.random.key(0)
    state = _start(task, config, data, key, key)
    ten = eqx.filter_jit(lambda state, data: _updates(task, config, state, data, jnp.int32(10)))
    spent = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        jax.block_until_ready(ten(state, data))
        spent.append(1e3 * (time.perf_counter() - began) / 10)
    return sorted(spent[1:])[repeats // 2]
