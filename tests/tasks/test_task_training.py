"""The training loop that all tasks share."""

from dataclasses import dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from throughtime.core import ConfigError, NonFiniteError, named_arrays
from throughtime.gradients.flow import step_gradients
from throughtime.memory import MEMORIES
from throughtime.tasks import TaskConfig, make_task, train_task
from throughtime.tasks.echo import Echo
from throughtime.tasks.flow import TaskMicroscope
from throughtime.tasks.train import _slowed

TINY = TaskConfig(memory="elman", hidden_size=8, updates=30, batch_size=4, validate_every=10, learning_rate=1e-2)
TASK = Echo(lag=1, alphabet=2, steps=6)


def test_a_memory_learns_an_echo_and_no_memory_does_not():
    config = replace(TINY, hidden_size=16, updates=400, batch_size=16, validate_every=50)
    assert train_task(TASK, config).score > 0.99
    without = train_task(TASK, replace(config, memory="none"))
    assert abs(without.score - TASK.memoryless_score) < 0.03


def test_the_same_seed_gives_the_same_model_and_another_one_another():
    a, b, c = (train_task(TASK, TINY, seed=seed) for seed in (1, 1, 2))
    for name, array in named_arrays(a.model).items():
        np.testing.assert_array_equal(array, named_arrays(b.model)[name])
    assert np.any(np.asarray(a.model.readout.weight_hy) != np.asarray(c.model.readout.weight_hy))


def test_looking_through_the_microscope_changes_nothing_and_comes_at_the_start_and_the_end():
    plain, looked = train_task(TASK, TINY), train_task(TASK, TINY, flow_every=20)
    for name, array in named_arrays(plain.model).items():
        np.testing.assert_array_equal(array, named_arrays(looked.model)[name])
    assert [update for update, _ in looked.flows] == [0, 20, 30]
    assert looked.flows[0][1].required_lag == 1


def test_the_microscope_sees_the_gradient_of_the_tasks_own_loss():
    """What it measured with: the cotangents of the outputs give the weights' gradient that plain autodiff gives."""
    model, key = TASK.model((), TINY, jax.random.key(0)), jax.random.key(5)
    d_ys, call = TaskMicroscope(TASK, (), size=4)._outputs_gradient(model, (), key)
    gradient = jax.grad(lambda m: TASK.loss(m, TASK.batch((), 4, key), None, jnp.ones(())))(model)
    steps = step_gradients(model.memory, *call, d_ys)
    np.testing.assert_allclose(steps.weight_hh.sum(axis=0), gradient.memory.weight_hh, rtol=2e-5, atol=1e-8)


def test_one_update_is_adam_on_the_clipped_gradient():
    """Against optax's own chain, with clipping and weight decay, from the same batch."""
    config = replace(TINY, updates=1, validate_every=1, weight_decay=0.1, anneal=False, gradient_clip=0.01)
    after = train_task(TASK, config).model
    key_model, key_train, *_ = jax.random.split(jax.random.key(0), 4)
    model = TASK.model((), config, key_model)
    _, key_batch, _ = jax.random.split(key_train, 3)
    grads = jax.grad(lambda m: TASK.loss(m, TASK.batch((), 4, key_batch), None, jnp.zeros(())))(model)
    optimiser = optax.chain(optax.clip_by_global_norm(0.01), optax.adamw(1e-2, weight_decay=0.1))
    with jax.numpy_dtype_promotion("standard"):
        updates, _ = optimiser.update(grads, optimiser.init(model), model)
    expected = optax.apply_updates(model, updates)
    for name, array in named_arrays(expected).items():
        np.testing.assert_allclose(named_arrays(after)[name], array, rtol=1e-4, atol=1e-6, err_msg=name)


def test_recurrent_rate_zero_leaves_the_recurrent_weights_as_they_were():
    config = replace(TINY, recurrent_rate=0.0)
    key_model, *_ = jax.random.split(jax.random.key(0), 4)
    before, after = TASK.model((), config, key_model), train_task(TASK, config).model
    np.testing.assert_array_equal(after.memory.weight_hh, before.memory.weight_hh)
    assert np.any(np.asarray(after.memory.weight_xh) != np.asarray(before.memory.weight_xh))


def test_a_recurrent_rate_is_refused_where_it_would_do_nothing():
    """Which memories have a parameter that it slows down is read off an update of ones."""
    for name in MEMORIES:
        config = replace(TINY, memory=name)
        model = TASK.model((), config, jax.random.key(0))
        params = eqx.filter(model, eqx.is_inexact_array)
        ones = jax.tree.map(jnp.ones_like, params)
        slowed, _ = _slowed(0.5).update(ones, optax.EmptyState())
        works = any(np.any(leaf != 1.0) for leaf in jax.tree.leaves(slowed))
        if works:
            assert replace(config, recurrent_rate=0.5).recurrent_rate == 0.5
            continue
        with pytest.raises(ConfigError, match=f"(?s)recurrent_rate is 0.5 for memory '{name}'.*lstm, gru, lru"):
            replace(config, recurrent_rate=0.5)
    with pytest.raises(ConfigError, match="memory 'mingru'"):
        replace(TINY, memory="mingru", recurrent_rate=0.0)


def test_training_stops_at_the_target_and_keeps_the_best_model():
    stopped = train_task(TASK, replace(TINY, target=100.0))
    assert stopped.curve[-1].update == TINY.validate_every
    # A learning rate that goes on shaking the model: the best one is not the last one.
    wild = replace(TINY, learning_rate=1.0, anneal=False, updates=20, batch_size=2, gradient_clip=None)
    best, last = train_task(TASK, replace(wild, keep_best=True)), train_task(TASK, wild)
    losses = [point.validation_loss for point in best.curve]
    key_valid = jax.random.split(jax.random.key(0), 4)[2]

    def validation_loss(model):
        return TASK.loss(model, TASK.validation_batch((), key_valid), None, jnp.ones(()))

    assert min(losses) < losses[-1]
    np.testing.assert_allclose(validation_loss(best.model), min(losses), rtol=1e-5)
    np.testing.assert_allclose(validation_loss(last.model), losses[-1], rtol=1e-5)


@dataclass(frozen=True)
class Breaks(Echo):
    """An echo whose loss becomes NaN from an update on, and, where `until` says so, is finite again later."""

    start: int = 12
    until: int = 1000

    def loss(self, model, batch, key, progress):
        update = progress * TINY.updates
        bad = (update >= self.start - 0.5) & (update < self.until - 0.5) & (key is not None)
        return super().loss(model, batch, key, progress) * jnp.where(bad, jnp.nan, 1.0)


def test_updates_that_are_not_finite_are_skipped_and_counted():
    result = train_task(Breaks(lag=1, alphabet=2, steps=6, until=15), TINY)
    assert result.skipped == 3
    assert all(np.isfinite(array).all() for array in named_arrays(result.model).values())
    assert np.isfinite(result.curve[-1].validation_loss)


def test_too_many_in_a_row_stop_the_training_and_say_where_the_first_came_from():
    with pytest.raises(NonFiniteError, match=r"5 updates in a row.*update 13\D") as error:
        train_task(Breaks(lag=1, alphabet=2, steps=6), replace(TINY, max_skipped=5))
    assert "loss" in error.value.why


@pytest.mark.parametrize(
    "wrong",
    [
        {"updates": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"dropout": 1.0},
        {"memory": "gruu"},
        {"recurrent_rate": -1.0},
        {"memory_options": {"chronos": 3}},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError):
        replace(TINY, **wrong)


def test_flow_every_needs_a_positive_number():
    with pytest.raises(ConfigError, match="flow_every is 0"):
        train_task(make_task("echo"), TINY, flow_every=0)
