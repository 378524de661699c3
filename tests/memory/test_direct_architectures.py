"""One-to-one, many-to-one and many-to-many, ragged batches, and what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.memory import MEMORIES, Elman, make_memory
from throughtime.memory.architectures import ManyToMany, ManyToOne, OneToOne, pad_sequences, read

T, B, I, H, O = 5, 3, 2, 3, 2  # noqa: E741
LENGTHS = np.array([2, 5, 1], np.int32)
MASK = np.arange(T)[:, None] < LENGTHS


pytestmark = pytest.mark.usefixtures("quick_compiler", "float64")


@pytest.fixture
def xs():
    return np.random.default_rng(1).normal(size=(T, B, I))


def build(kind, memory=Elman):
    key, rng = jax.random.key(0), np.random.default_rng(0)
    model = kind(memory(I, H, learn_initial_state=True, dtype=jnp.float64, key=key), O, key=key)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)) if eqx.is_inexact_array(a) else a, model)


def numpy_run(model, xs):
    """The outputs of one sequence `[T, I]`, from the equations."""
    m, r = model.memory, model.readout
    W_xh, W_hh, b_h, W_hy, b_y, h = (
        np.asarray(a) for a in (m.weight_xh, m.weight_hh, m.bias_h, r.weight_hy, r.bias_y, m.initial_h)
    )
    ys = []
    for x in xs:
        h = np.tanh(x @ W_xh + h @ W_hh + b_h)
        ys.append(h @ W_hy + b_y)
    return np.array(ys)


def test_one_to_one_is_one_step(xs):
    model = build(OneToOne)
    expected = [numpy_run(model, xs[:1, b])[0] for b in range(B)]
    np.testing.assert_allclose(model(jnp.asarray(xs[0])), expected, rtol=1e-12)


@pytest.mark.parametrize("lengths", [None, LENGTHS, MASK], ids=["whole", "lengths", "mask"])
def test_many_to_one_reads_the_last_valid_step(xs, lengths):
    model = build(ManyToOne)
    ends = np.full(B, T) if lengths is None else LENGTHS
    expected = [numpy_run(model, xs[:n, b])[-1] for b, n in enumerate(ends)]
    np.testing.assert_allclose(model(jnp.asarray(xs), lengths), expected, rtol=1e-12)


@pytest.mark.parametrize("lengths", [None, LENGTHS, MASK], ids=["whole", "lengths", "mask"])
def test_many_to_many_reads_every_valid_step(xs, lengths):
    model, ends = build(ManyToMany), np.full(B, T) if lengths is None else LENGTHS
    ys = np.asarray(model(jnp.asarray(xs), lengths))
    for b, n in enumerate(ends):
        np.testing.assert_allclose(ys[:n, b], numpy_run(model, xs[:n, b]), rtol=1e-12)
        np.testing.assert_array_equal(ys[n:, b], 0.0)


def test_many_to_many_with_resets(xs):
    model, resets = build(ManyToMany), np.zeros((T, B), bool)
    resets[3, 1] = True
    ys = model(jnp.asarray(xs), None, jnp.asarray(resets))
    np.testing.assert_allclose(ys[3:, 1], numpy_run(model, xs[3:, 1]), rtol=1e-12)
    np.testing.assert_allclose(ys[:, 0], numpy_run(model, xs[:, 0]), rtol=1e-12)


class PlainScan(Elman):
    """A user's memory, whose gradient is autodiff's: zero times NaN is NaN there."""

    def unroll(self, state, xs, resets, taps=None):
        del resets, taps
        return jax.lax.scan(lambda state, x: self.step(state, x), state, xs)


@pytest.mark.parametrize("kind", [ManyToOne, ManyToMany])
@pytest.mark.parametrize("memory", [Elman, PlainScan])
def test_nan_in_the_padding_changes_neither_outputs_nor_gradients(kind, memory, xs):
    model = build(kind, memory)

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def loss(diff):
        model, xs = diff
        return jnp.sum(jnp.sin(model(xs, jnp.asarray(LENGTHS)) + 1.0))

    value, grads = loss((model, jnp.asarray(np.where(MASK[..., None], xs, 0.0))))
    nan_value, nan_grads = loss((model, jnp.asarray(np.where(MASK[..., None], xs, np.nan))))
    assert value == nan_value
    for a, b in zip(jax.tree.leaves(grads), jax.tree.leaves(nan_grads), strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.all(np.isfinite(a))
    assert np.all(np.asarray(grads[1])[~MASK] == 0.0)
    assert np.all(np.any(np.asarray(grads[1])[MASK] != 0.0, axis=-1))


@pytest.mark.parametrize("name", MEMORIES)
def test_reading_a_ragged_batch_equals_reading_each_sequence_alone(name, xs):
    options = MEMORIES[name].variants[-1]
    memory = make_memory(name, I, H, dtype=jnp.float64, key=jax.random.key(0), **options)
    together = eqx.filter_jit(read)(memory, jnp.asarray(xs), jnp.asarray(LENGTHS))
    b, n = 0, LENGTHS[0]
    alone = eqx.filter_jit(read)(memory, jnp.asarray(xs[:n, b : b + 1]), None)
    np.testing.assert_allclose(together.last[b], alone.last[0], rtol=1e-12)
    np.testing.assert_allclose(together.outputs[:n, b], alone.outputs[:, 0], rtol=1e-12)
    for c, end in enumerate(LENGTHS):
        np.testing.assert_array_equal(together.outputs[end:, c], 0.0)
    for x, y in zip(jax.tree.leaves(together.state), jax.tree.leaves(alone.state), strict=True):
        np.testing.assert_allclose(x[b], y[0], rtol=1e-12, atol=1e-15)


def test_padding_ragged_sequences(xs):
    padded, lengths = pad_sequences([xs[:n, b] for b, n in enumerate(LENGTHS)])
    np.testing.assert_array_equal(lengths, LENGTHS)
    np.testing.assert_array_equal(padded, np.where(MASK[..., None], xs, 0.0))


def errors():
    x = np.zeros((T, B, I))
    yield "list", lambda m: m([np.zeros((2, I)), np.zeros((3, I))]), "2 sequences in a list.*pad_sequences"
    yield "rank", lambda m: m(jnp.zeros((T, I))), r"expected sequences \[T, B, 2\], got \[5, 2\]"
    yield "width", lambda m: m(jnp.zeros((T, B, 4))), r"got \[5, 3, 4\]"
    yield "dtype", lambda m: m(jnp.zeros((T, B, I), jnp.int32)), "expected float64 sequences, got int32"
    yield "no steps", lambda m: m(jnp.zeros((0, B, I))), "got T = 0"
    yield "lengths' shape", lambda m: m(x, np.array([1, 2])), r"expected lengths \[3\].*got int64\[2\]"
    yield "lengths' dtype", lambda m: m(x, np.array([1.0, 2.0, 3.0])), r"got float64\[3\]"
    yield "zero length", lambda m: m(x, np.array([1, 0, 3])), r"expected lengths in 1 … 5, got 0 … 3"
    yield "too long", lambda m: m(x, np.array([1, 2, 6])), r"got 1 … 6"
    yield "mask", lambda m: m(x, ~MASK), "a mask that is true again"
    yield "empty", lambda _: pad_sequences([]), "no sequences"
    yield "no steps to pad", lambda _: pad_sequences([np.zeros((2, I)), np.zeros((0, I))]), "sequence 1 has no steps"
    yield "unlike", lambda _: pad_sequences([np.zeros((2, I)), np.zeros((2, 3))]), "sequence 1 has steps"


@pytest.mark.parametrize(("make", "match"), [pytest.param(*e[1:], id=e[0]) for e in errors()])
def test_errors_say_what_was_expected(make, match):
    with pytest.raises(ConfigError, match=f"(?s){match}"):
        make(build(ManyToOne))


def test_more_errors(xs):
    with pytest.raises(ConfigError, match=r"expected float64\[B, 2\], got float64\[5, 3, 2\]"):
        build(OneToOne)(jnp.asarray(xs))
    with pytest.raises(ConfigError, match=r"expected resets bool\[5, 3\], got bool\[3, 5\]"):
        build(ManyToMany)(jnp.asarray(xs), None, jnp.zeros((B, T), bool))
