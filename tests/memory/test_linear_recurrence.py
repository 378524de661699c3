"""The two forms of the linear recurrence, up to sequences of 100,000 steps."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError, named_arrays
from throughtime.memory import LRU, MinGRU, MinLSTM, make_memory
from throughtime.memory.parallel import linear_recurrence

KEY = jax.random.key(0)


pytestmark = pytest.mark.usefixtures("quick_compiler")


def both_forms(make, T, dtype, B=2, I=2):  # noqa: E741
    """Outputs, final state and all gradients of a loss over all of them, serial and parallel."""
    rng = np.random.default_rng(0)
    xs, weights = (jnp.asarray(rng.normal(size=(T, B, n)), dtype) for n in (I, 3))
    resets = jnp.asarray(rng.uniform(size=(T, B)) < 20 / T)
    results = []
    for scan in ("serial", "parallel"):
        memory = make(I, 3, scan=scan, learn_initial_state=True, dtype=dtype, key=KEY)
        state = jax.tree.map(lambda a: a + 0.5, memory.initial_state(B))

        def loss(diff, weights, resets):
            memory, state, xs = diff
            final, ys = memory.unroll(state, xs, resets)
            # The mean, so that tolerances are of the size of one step's rounding.
            total = jnp.mean(weights * jnp.sin(ys)) + sum(jnp.sum(a) for a in jax.tree.leaves(final))
            return total, (final, ys)

        run = eqx.filter_jit(eqx.filter_value_and_grad(loss, has_aux=True))
        arrays = named_arrays(run((memory, state, xs), weights, resets))
        results.append({name: np.asarray(a) for name, a in arrays.items()})
    return results


def long_lru(*args, **options):
    """Eigenvalues so near to 1 that an error would be remembered for thousands of steps."""
    return LRU(*args, r_min=0.99, r_max=0.9999, **options)


def slow_mingru(*args, **options):
    return MinGRU(*args, chrono=10_000.0, **options)


@pytest.mark.parametrize(
    ("make", "T", "dtype", "tolerance"),
    [
        (slow_mingru, 100_000, np.float32, 2e-4),
        (long_lru, 100_000, np.float64, 1e-9),
    ],
)
def test_parallel_equals_serial(make, T, dtype, tolerance):
    with jax.enable_x64(dtype is np.float64):
        serial, parallel = both_forms(make, T, dtype)
    assert serial.keys() == parallel.keys()
    for name, a in serial.items():
        scale = np.abs(a).max(initial=1e-3)
        np.testing.assert_allclose(parallel[name] / scale, a / scale, rtol=0, atol=tolerance, err_msg=name)
        assert np.any(a != 0.0), name


def test_float32_keeps_its_accuracy_over_100_000_steps():
    """Against NumPy in float64: the relative error grows with how long a unit remembers, not with T."""
    T, rng = 100_000, np.random.default_rng(1)
    a, b = rng.uniform(0.9, 0.9999, size=(T, 1, 2)), rng.normal(size=(T, 1, 2))
    expected, h = np.empty_like(b), np.zeros((1, 2))
    for t in range(T):
        expected[t] = h = a[t] * h + b[t]
    zero, none = jnp.zeros((1, 2)), jnp.zeros((T, 1), bool)
    numbers = ((jnp.asarray(a, jnp.float32),), (jnp.asarray(b, jnp.float32),), (zero,), None, None)
    for parallel in (False, True):
        _, (ys,) = jax.jit(lambda n, r, p=parallel: linear_recurrence(n, r, p))(numbers, none)
        np.testing.assert_allclose(ys, expected, atol=1e-5 * np.abs(expected).max())


def plain_loop(numbers, resets):
    """The definition, step by step, in JAX's own complex numbers and with its own gradient."""
    a, b, h, fresh, taps = (n[0] if len(n) == 1 else jax.lax.complex(*n) for n in numbers)
    states = []
    for t in range(len(resets)):
        states.append(a[t % len(a)] * jnp.where(resets[t][:, None], fresh, h) + b[t])
        h = states[-1] + taps[t]
    parts = (lambda z: (z,)) if len(numbers[0]) == 1 else (lambda z: (z.real, z.imag))
    return parts(h), parts(jnp.stack(states))


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize(("parts", "constant"), [(1, False), (2, True)])
def test_gradients_of_all_arguments_are_those_of_a_plain_loop(parallel, parts, constant):
    T, B, H = 9, 2, 3
    rng = np.random.default_rng(2)
    resets = np.zeros((T, B), bool)
    resets[5, 0] = resets[3, 1] = resets[4, 1] = True
    with jax.enable_x64(True):

        def number(*shape):
            return tuple(jnp.asarray(rng.normal(size=shape)) for _ in range(parts))

        decay = number(1, 1, H) if constant else number(T, B, H)
        numbers = (decay, number(T, B, H), number(B, H), number(B, H), number(T, B, H))
        weights = (number(B, H), number(T, B, H))

        def value(numbers, solve):
            out = solve(numbers, jnp.asarray(resets))
            return sum(jnp.sum(w * jnp.sin(x)) for w, x in zip(*map(jax.tree.leaves, (weights, out)), strict=True))

        expected = jax.jit(jax.value_and_grad(lambda n: value(n, plain_loop)))(numbers)
        solve = lambda n, r: linear_recurrence(n, r, parallel)  # noqa: E731
        actual = jax.jit(jax.value_and_grad(lambda n: value(n, solve)))(numbers)
        for e, a in zip(jax.tree.leaves(expected), jax.tree.leaves(actual), strict=True):
            np.testing.assert_allclose(a, e, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("use", ["later", "final", "neither"])
def test_a_row_that_the_loss_does_not_see_may_hold_nan(parallel, use):
    """NaN in an episode's unseen end, before a reset; and at the sequence's unseen end."""
    T, H = 8, 2
    rng = np.random.default_rng(3)
    resets = jnp.zeros((T, 1), bool).at[4].set(True)
    a, b = (rng.uniform(0.5, 0.9, size=(T, 1, H)).astype(np.float32) for _ in range(2))
    dead = [2, 3] if use != "neither" else [2, 3, 6, 7]
    seen = np.ones((T, 1, 1), bool)
    seen[dead] = False
    if use == "final":
        seen[:] = False

    def value(numbers):
        a, b, state = numbers
        (final,), (h,) = linear_recurrence(((a,), (b,), (state,), None, None), resets, parallel)
        return jnp.sum(jnp.where(seen, h, 0.0)) + (jnp.sum(final) if use == "final" else 0.0)

    gradients = []
    for filler in (0.25, np.nan):
        filled = [jnp.asarray(np.where(np.isin(np.arange(T), dead)[:, None, None], filler, x)) for x in (a, b)]
        gradients.append(jax.jit(jax.value_and_grad(value))((*filled, jnp.ones((1, H)))))
    for clean, dirty in zip(*map(jax.tree.leaves, gradients), strict=True):
        np.testing.assert_array_equal(clean, dirty)
    assert np.any(gradients[0][1][1] != 0.0)


def test_minlstm_with_both_gates_shut_neither_divides_by_zero_nor_forgets_the_ratio():
    memory = MinLSTM(1, 1, key=KEY)
    memory = eqx.tree_at(
        lambda m: (m.weight_xh, m.bias_h), memory, (jnp.zeros((1, 3)), jnp.array([-300.0, -301.0, 2.0]))
    )
    state, _ = memory.step(memory.initial_state(1)._replace(h=jnp.ones((1, 1))), jnp.ones((1, 1)))
    keep = np.e / (np.e + 1.0)  # f/(f+i) where f = e·i
    np.testing.assert_allclose(state.h, [[keep + (1.0 - keep) * 2.0]], rtol=1e-5)


def test_lru_starts_on_its_ring():
    memory = LRU(4, 512, r_min=0.9, r_max=0.99, max_phase=0.5, key=KEY)
    eigenvalues = jax.lax.complex(*memory.decay())
    radius, phase = np.abs(eigenvalues), np.angle(eigenvalues)
    assert 0.9 - 1e-6 < radius.min() < 0.905
    assert 0.985 < radius.max() < 0.99 + 1e-6
    assert 0.0 <= phase.min() < 0.01
    assert 0.49 < phase.max() < 0.5 + 1e-6


def test_lru_keeps_states_at_the_size_of_its_inputs_however_slowly_a_unit_forgets():
    """E|h|² = γ² Σ|W|² / (1 − |λ|²) = Σ|W|² for inputs of variance 1, in the limit of long sequences."""
    T, B = 700, 1_000
    memory = LRU(4, 16, r_min=0.5, r_max=0.99, key=KEY)
    xs = jax.random.normal(jax.random.key(1), (T, B, 4))
    state, _ = jax.jit(lambda m, xs: m.unroll(m.initial_state(B), xs, jnp.zeros((T, B), bool)))(memory, xs)
    power = np.mean(np.square(state.h_re) + np.square(state.h_im), axis=0)
    expected = np.sum(np.square(memory.weight_xh_re) + np.square(memory.weight_xh_im), axis=0)
    np.testing.assert_allclose(power / expected, 1.0, atol=0.2)  # five standard errors


@pytest.mark.parametrize(
    "options", [{"r_min": 0.9, "r_max": 0.9}, {"r_max": 1.1}, {"r_min": -0.1}, {"max_phase": 0.0}, {"max_phase": 7.0}]
)
def test_impossible_rings_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        LRU(2, 3, key=KEY, **options)


@pytest.mark.parametrize("name", ["lru", "mingru", "minlstm"])
def test_an_unknown_scan_is_refused_with_a_suggestion(name):
    with pytest.raises(ConfigError, match="Did you mean 'parallel'"):
        make_memory(name, 2, 3, scan="paralel", key=KEY)
