"""The microscope against oracles that share no code with it: plain loops, unshared copies, closed forms, NumPy."""

import json
import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError, named_arrays, select_rows
from throughtime.gradients.flow import (
    contributions,
    gate_saturation,
    jacobian_products,
    jacobian_radii,
    lag_norms,
    measure_flow,
    recurrent_radii,
    state_jacobians,
    step_gradients,
)
from throughtime.gradients.flow._states import check_shapes
from throughtime.memory import Elman, Memory, WithReadout, make_memory

T, B, I, H = 6, 2, 2, 3  # noqa: E741
RESETS = np.zeros((T, B), bool)
RESETS[3, 0] = True
MEMORIES = {
    "elman": {"output_size": 2, "learn_initial_state": True},
    "gru": {},
    "lstm": {"peepholes": True},
    "tdnn": {"taps": 3},
    "lru": {},
    "none": {},
}


pytestmark = pytest.mark.usefixtures("quick_compiler", "float64")


def random_memory(name, num_layers=1, **options):
    """A memory with random numbers in all its parameters."""

    def build():
        key = jax.random.key(0)
        return make_memory(name, I, H, num_layers=num_layers, dtype=np.float64, key=key, **options)

    rng = np.random.default_rng(0)
    shapes = eqx.filter_eval_shape(build)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(scale=0.7, size=a.shape)), shapes)


def data(memory, seed=1):
    rng = np.random.default_rng(seed)
    xs, d_ys = rng.normal(size=(T, B, I)), rng.normal(size=(T, B, memory.output_size))
    return memory.initial_state(B), jnp.asarray(xs), jnp.asarray(RESETS), jnp.asarray(d_ys)


def step_loop(memories, state, xs, resets, taps, hidden_taps):
    """Outputs of a plain loop with an unshared memory for each step; taps on what each step puts out."""
    ys = []
    for t, memory in enumerate(memories):
        state = select_rows(resets[t], memory.initial_state(B), state)
        state, hidden = memory.advance(state, memory.project(xs[t]))
        state = jax.tree.map(jnp.add, state, taps[t])
        ys.append(memory.read_out(jax.tree.map(jnp.add, hidden, hidden_taps[t])))
    return ys


@pytest.mark.parametrize("name", [*MEMORIES, "stack"])
def test_lag_norms_equal_autodiff_of_a_plain_loop(name):
    memory = random_memory("lstm", num_layers=2) if name == "stack" else random_memory(name, **MEMORIES[name])
    state, xs, resets, d_ys = data(memory)
    hidden = jax.eval_shape(lambda: memory.advance(state, memory.project(xs[0]))[1])
    zeros, hidden_zeros = ([jax.tree.map(jnp.zeros_like, state)] * T, [jax.tree.map(jnp.zeros_like, hidden)] * T)

    @jax.jit
    @jax.vmap  # over the sources t
    def gradient(mask):
        def loss(taps, hidden_taps):
            ys = step_loop([memory] * T, state, xs, resets, taps, hidden_taps)
            return sum(jnp.sum(m * y * d) for m, y, d in zip(mask, ys, d_ys, strict=True))

        return jax.grad(loss, (0, 1))(zeros, hidden_zeros)

    taps, hidden_taps = gradient(jnp.eye(T))

    def norm(tree, t, b):
        return np.sqrt(sum(np.sum(np.square(leaf[t, b])) for leaf in jax.tree.leaves(tree)))

    measured = lag_norms(memory, state, xs, resets, d_ys)
    assert measured.sources.tolist() == list(range(T))
    for t in range(T):
        for k in range(T):
            for b in range(B):
                value = measured.total[t, k, b]
                if k > t or RESETS[t - k + 1 : t + 1, b].any():
                    assert np.isnan(value)
                    continue
                expected = norm(taps[t - k] if k else hidden_taps[t], t, b)
                np.testing.assert_allclose(np.exp(value), expected, rtol=1e-10, atol=1e-300)
                for leaf, values in measured.by_leaf.items():
                    expected = norm(named_arrays(taps[t - k])[leaf] if k else hidden_taps[t], t, b)
                    np.testing.assert_allclose(np.exp(values[t, k, b]), expected, rtol=1e-10, atol=1e-300)


def test_the_paths_of_an_lstm_are_those_of_its_equations():
    """∂L/∂c along the cell alone is a product of forget gates; along h alone the cell state is held."""
    memory = random_memory("lstm")
    state, xs, resets, d_ys = data(memory)
    d_ys = d_ys.at[:-1].set(0.0)
    measured = lag_norms(memory, state, xs, resets, d_ys)
    assert measured.sources.tolist() == [T - 1]
    weights = {g: {n: np.asarray(a) for n, a in memory.gate(g).items()} for g in memory.gates}

    def sigma(x):
        return 1 / (1 + np.exp(-x))

    b = 1  # the row without a reset
    h, c, steps = np.zeros(H), np.zeros(H), []
    for x in np.asarray(xs)[:, b]:
        i, f, o, n = (x @ w["weight_xh"] + h @ w["weight_hh"] + w["bias_h"] for w in weights.values())
        i, f, o, n = sigma(i), sigma(f), sigma(o), np.tanh(n)
        steps.append((i, f, o, n, c))
        c = f * c + i * n
        h = o * np.tanh(c)
    d_h = np.asarray(d_ys)[-1, b]

    def back_h(d_h, step):
        """(∂L/∂c_{t−1}, ∂L/∂h_{t−1}) from ∂L/∂h_t, with nothing flowing in from ∂c_t."""
        i, f, o, n, before = step
        cell = np.tanh(f * before + i * n)
        d_c = d_h * o * (1 - cell**2)
        d_gates = {
            "input": d_c * n * i * (1 - i),
            "forget": d_c * before * f * (1 - f),
            "output": d_h * cell * o * (1 - o),
            "candidate": d_c * i * (1 - n**2),
        }
        return d_c * f, sum(d @ weights[g]["weight_hh"].T for g, d in d_gates.items())

    d_cell, d_hidden = back_h(d_h, steps[-1])
    for k in range(1, T):
        np.testing.assert_allclose(np.exp(measured.by_path["c"][0, k, b]), np.linalg.norm(d_cell), rtol=1e-10)
        np.testing.assert_allclose(np.exp(measured.by_path["h"][0, k, b]), np.linalg.norm(d_hidden), rtol=1e-10)
        d_cell = d_cell * steps[T - 1 - k][1]
        d_hidden = back_h(d_hidden, steps[T - 1 - k])[1]


@pytest.mark.parametrize("name", ["elman", "lru", "stack"])
def test_contributions_of_all_steps_sum_to_the_gradient(name):
    memory = random_memory("gru", num_layers=2) if name == "stack" else random_memory(name, **MEMORIES[name])
    state, xs, resets, d_ys = data(memory)

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(memory):
        return jnp.sum(memory.unroll(state, xs, resets)[1] * d_ys)

    whole, steps = named_arrays(gradient(memory)), named_arrays(step_gradients(memory, state, xs, resets, d_ys))
    assert whole.keys() == steps.keys()
    for name, by_step in steps.items():
        np.testing.assert_allclose(np.sum(by_step, axis=0), whole[name], rtol=1e-10, atol=1e-12, err_msg=name)
    reduced = contributions(memory, state, xs, resets, d_ys)
    for name, by_step in steps.items():
        flat = np.asarray(by_step).reshape(T, -1)
        np.testing.assert_allclose(reduced.norms[name], np.linalg.norm(flat, axis=1), rtol=1e-10, atol=1e-14)
        if np.any(np.asarray(whole[name]) != 0):
            np.testing.assert_allclose(np.sum(reduced.shares[name]), 1.0, rtol=1e-9)
            along = flat @ np.ravel(whole[name]) / np.sum(np.square(whole[name]))
            np.testing.assert_allclose(reduced.shares[name], along, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", ["elman", "lstm"])
def test_each_contribution_is_the_gradient_of_an_unshared_copy(name):
    memory = random_memory(name, **MEMORIES[name])
    state, xs, resets, d_ys = data(memory)
    hidden = jax.eval_shape(lambda: memory.advance(state, memory.project(xs[0]))[1])
    zeros, hidden_zeros = ([jax.tree.map(jnp.zeros_like, state)] * T, [jax.tree.map(jnp.zeros_like, hidden)] * T)

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(copies):
        ys = step_loop(copies, state, xs, resets, zeros, hidden_zeros)
        return sum(jnp.sum(y * d) for y, d in zip(ys, d_ys, strict=True))

    steps = named_arrays(step_gradients(memory, state, xs, resets, d_ys))
    for t, copy in enumerate(gradient([memory] * T)):
        for leaf, expected in named_arrays(copy).items():
            np.testing.assert_allclose(steps[leaf][t], expected, rtol=1e-9, atol=1e-12, err_msg=f"{leaf}, step {t}")


def test_step_jacobians_equal_finite_differences():
    memory = random_memory("lstm")
    state, xs, resets, _ = data(memory)
    jacobians = np.asarray(state_jacobians(memory, state, xs, resets))
    assert jacobians.shape == (T, B, 2 * H, 2 * H)
    assert (jacobians[3, 0] == 0).all()  # a reset: nothing of the state before it counts
    state, _ = memory.unroll(state, xs[:2], resets[:2])
    step, eps = eqx.filter_jit(memory.step), 1e-6
    for n in range(2 * H):
        part, unit = ("h", n) if n < H else ("c", n - H)
        shift = jnp.zeros((B, H)).at[:, unit].set(eps)
        plus, minus = (step(state._replace(**{part: getattr(state, part) + s * shift}), xs[2])[0] for s in (1, -1))
        change = [(np.asarray(p) - np.asarray(m)) / (2 * eps) for p, m in zip(plus, minus, strict=True)]
        np.testing.assert_allclose(jacobians[2, :, :, n], np.concatenate(change, axis=1), rtol=1e-7, atol=1e-9)


def test_products_of_jacobians_neither_underflow_nor_overflow():
    rng, steps, N = np.random.default_rng(0), 3_000, 4
    rotations = np.linalg.qr(rng.normal(size=(steps, 2, N, N)))[0]
    for factor in (0.1, 30.0):
        products = jacobian_products((factor * rotations).astype(np.float32), np.zeros((steps, 2), bool))
        expected = np.broadcast_to(products.lags[:, None, None] * math.log(factor), products.log_singular_values.shape)
        np.testing.assert_allclose(products.log_singular_values, expected, rtol=1e-5, atol=1e-3)


def test_products_of_jacobians_equal_numpy_and_end_at_a_reset():
    jacobians, resets = np.random.default_rng(0).normal(size=(5, 2, 3, 3)), np.zeros((5, 2), bool)
    resets[3, 1] = True
    jacobians[3, 1] = 0.0
    products = jacobian_products(jacobians, resets)
    assert products.lags.tolist() == [0, 1, 2, 3, 4]
    product = np.eye(3)
    for k in range(5):
        product = product @ jacobians[5 - k, 0] if k else product
        expected = np.linalg.svd(product, compute_uv=False)
        np.testing.assert_allclose(np.exp(products.log_singular_values[k, 0]), expected, rtol=1e-9)
    assert np.isfinite(products.log_singular_values[:2, 1]).all()
    assert np.isnan(products.log_singular_values[2:, 1]).all()


@pytest.mark.parametrize("radius", [0.9, 1.0, 1.1])
def test_gradients_made_to_order(radius):
    """A linear Elman network with ρ times an orthogonal matrix: every norm is ρ^k, the growth ρ, exactly."""
    memory = Elman(I, H, f="identity", spectral_radius=radius, dtype=np.float64, key=jax.random.key(2))
    steps = 60
    xs = jax.random.normal(jax.random.key(3), (steps, B, I), np.float64)
    d_ys = jnp.zeros((steps, B, H)).at[-1].set(1.0)
    flow = measure_flow(memory, memory.initial_state(B), xs, jnp.zeros((steps, B), bool), d_ys, required_lag=50)
    np.testing.assert_allclose(flow.horizon.log_ratios, np.arange(steps) * math.log(radius), atol=1e-9)
    assert flow.horizon.growth == pytest.approx(radius, rel=1e-9)
    assert flow.horizon.growth_interval == pytest.approx((radius, radius), rel=1e-9)
    assert flow.recurrent_radii == {"weight_hh": pytest.approx(radius)}
    assert flow.jacobian_radii == pytest.approx(radius)
    assert flow.horizon.lag == (43 if radius == 0.9 else steps - 1)
    word = {0.9: "vanish at lag 43, the task needs 50", 1.0: "reach back 59 steps or more", 1.1: "growth 1.1 per step"}
    assert word[radius] in flow.verdict.headline
    assert flow.summary()["growth_per_step"] == flow.horizon.growth


def test_norms_far_below_the_smallest_float_are_measured():
    memory = Elman(1, 2, f="identity", spectral_radius=0.5, dtype=np.float32, key=jax.random.key(0))
    steps = 1_000
    d_ys = jnp.zeros((steps, 1, 2), np.float32).at[-1].set(1.0)
    xs, resets = jnp.zeros((steps, 1, 1), np.float32), jnp.zeros((steps, 1), bool)
    norms = lag_norms(memory, memory.initial_state(1), xs, resets, d_ys).total[0, :, 0]
    np.testing.assert_allclose(norms - norms[0], np.arange(steps) * math.log(0.5), rtol=1e-4, atol=1e-4)


class Root(Memory):
    """h' = x w + √h, whose derivative is infinite where h is 0."""

    w: jax.Array
    input_size: int = eqx.field(static=True, default=1)
    output_size: int = eqx.field(static=True, default=1)

    def initial_state(self, batch_size):
        return RootState(jnp.ones((batch_size, 1)))

    def advance(self, state, projected):
        h = projected @ self.w + jnp.sqrt(state.h)
        return RootState(h), h


class RootState(NamedTuple):
    h: jax.Array


def root_data():
    """States 1, 0, 1, 1, 1, 1 in row 0 and ones in row 1: every step halves the gradient but one, from h₁ to h₂."""
    xs = jnp.zeros((T, 2, 1)).at[1, 0].set(-1.0).at[2, 0].set(1.0)
    return Root(jnp.ones((1, 1))), RootState(jnp.ones((2, 1))), xs, jnp.zeros((T, 2), bool)


def test_a_gradient_that_is_not_finite_is_seen_at_its_lag_and_behind_it():
    memory, state, xs, resets = root_data()
    norms = lag_norms(memory, state, xs, resets, jnp.ones((T, 2, 1))).total
    for t in range(T):
        for k in range(t + 1):
            crosses = t >= 2 > t - k  # from h₂ or later back to h₁ or h₀; later steps are no matter for an earlier loss
            np.testing.assert_allclose(norms[t, k], [np.inf if crosses else k * np.log(0.5), k * np.log(0.5)])
    gradient = jax.grad(lambda x: jnp.sum(memory.unroll(state, xs.at[0, 0, 0].set(x), resets)[1][-1]))
    assert not np.isfinite(gradient(0.0))  # as in training

    d_ys = jnp.zeros((T, 2, 1)).at[-1].set(1.0)
    flow = measure_flow(memory, state, xs, resets, d_ys, required_lag=5)
    assert (flow.horizon.not_finite_from, flow.horizon.lag, flow.horizon.measured) == (4, 3, 5)
    assert not flow.horizon.censored
    assert flow.horizon.growth == pytest.approx(0.5)
    assert flow.verdict.headline == "Gradients are not finite from lag 4 on, the task needs 5"
    record = flow.record()
    assert (record["not_finite_from"], record["horizon"], record["censored"]) == (4, 3, False)
    assert record["log10_ratios"][4:] == record["log10_norms"][0][4:] == [None, None]
    json.dumps(record, allow_nan=False)
    healthy = measure_flow(memory, state, xs.at[1:3].set(0.0), resets, d_ys)
    assert healthy.record()["not_finite_from"] is None


def test_the_path_of_a_state_that_is_not_finite_is_named():
    memory = random_memory("lstm")
    state, xs, resets, d_ys = data(memory)
    flow = measure_flow(memory, state, xs.at[1, 1].set(jnp.nan), resets, d_ys)
    assert flow.horizon.not_finite_from == 1  # at lag 0 there is the gradient of the output alone
    assert flow.record()["path_not_finite_from"] == {"h": 1, "c": 1}
    assert flow.verdict.headline == "Gradients are not finite from lag 1 on"


def test_sources_are_spread_over_the_losses_and_hold_the_last():
    memory = random_memory("none")
    state, xs, resets, d_ys = data(memory)
    d_ys = d_ys.at[0].set(0.0).at[T - 1].set(0.0)
    assert lag_norms(memory, state, xs, resets, d_ys).sources.tolist() == [1, 2, 3, 4]
    # The first row's first episode ends at step 2, and with it its longest lags.
    assert lag_norms(memory, state, xs, resets, d_ys, max_sources=2).sources.tolist() == [2, 4]


def test_gates_count_as_saturated_beyond_a_twentieth():
    key = jax.random.key(0)
    memory = make_memory("lstm", I, H, forget_bias=20.0, dtype=np.float64, key=key)
    state, xs, resets, _ = data(memory)
    saturation = gate_saturation(memory, state, xs, resets)
    assert saturation.keys() == {"input", "forget", "output"}
    assert saturation["forget"] == (0.0, 1.0)
    stack = make_memory("gru", I, H, num_layers=2, dtype=np.float64, key=key)
    closed = eqx.tree_at(lambda m: m.layers[1].bias_h, stack, jnp.full(3 * H, -20.0))
    saturation = gate_saturation(closed, stack.initial_state(B), xs, resets)
    assert saturation["layers.1.update"] == saturation["layers.1.reset"] == (1.0, 0.0)
    assert saturation["layers.0.update"] != (1.0, 0.0)
    assert gate_saturation(random_memory("elman"), random_memory("elman").initial_state(B), xs, resets) == {}


def test_gate_activations_are_those_of_the_equations():
    memory = random_memory("gru")
    x, h = np.ones((1, I)), np.full((1, H), 0.3)
    state = memory.initial_state(1)._replace(h=jnp.asarray(h))
    gates = memory.gate_activations(state, memory.project(jnp.asarray(x)))
    assert gates.keys() == {"reset", "update"}
    for name, values in gates.items():
        weights = memory.gate(name)
        pre = (
            x @ np.asarray(weights["weight_xh"]) + h @ np.asarray(weights["weight_hh"]) + np.asarray(weights["bias_h"])
        )
        np.testing.assert_allclose(values, 1 / (1 + np.exp(-pre)), rtol=1e-12)


@pytest.mark.parametrize("name", ["mingru", "minlstm"])
def test_gates_of_the_input_alone_are_those_of_the_equations(name):
    memory = random_memory(name)
    state, xs, resets, _ = data(memory)

    def sigma(gate):
        weights = {key: np.asarray(a) for key, a in memory.gate(gate).items()}
        return 1 / (1 + np.exp(-(np.asarray(xs) @ weights["weight_xh"] + weights["bias_h"])))

    if name == "mingru":
        expected = {"update": sigma("update")}
    else:  # scaled to sum to 1, as they act on the state
        f, i = sigma("forget"), sigma("input")
        expected = {"forget": f / (f + i), "input": i / (f + i)}
    for t in range(T):
        gates = memory.gate_activations(state, memory.project(xs[t]))
        assert gates.keys() == expected.keys()
        for gate, values in gates.items():
            np.testing.assert_allclose(values, expected[gate][t], rtol=1e-12, err_msg=gate)
    saturation = gate_saturation(memory, state, xs, resets)
    for gate, values in expected.items():
        assert saturation[gate] == pytest.approx((np.mean(values < 0.05), np.mean(values > 0.95)))


def test_spectral_radii_are_named_after_their_matrices():
    key = jax.random.key(0)
    stack = make_memory("gru", I, H, num_layers=2, dtype=np.float64, key=key)
    half = eqx.tree_at(lambda m: m.layers[1].weight_hh, stack, 0.5 * stack.layers[1].weight_hh)
    radii = recurrent_radii(WithReadout(half, 2, key=key))
    assert radii["layers.0.weight_hh[update]"] == pytest.approx(1.0)
    assert radii["layers.1.weight_hh[candidate]"] == pytest.approx(0.5)
    jordan = random_memory("jordan", output_size=2)
    loop = np.asarray(jordan.readout.weight_hy) @ np.asarray(jordan.weight_yh)
    assert recurrent_radii(jordan) == {"weight_hy·weight_yh": pytest.approx(np.abs(np.linalg.eigvals(loop)).max())}
    lru = make_memory("lru", I, H, r_min=0.5, r_max=0.6, key=key)
    assert 0.5 < recurrent_radii(lru)["decay"] < 0.6
    assert recurrent_radii(random_memory("none")) == {}
    assert jacobian_radii(np.diag([0.5, -2.0])[None, None].repeat(3, 0)).tolist() == [[2.0]] * 3


def test_shapes_that_do_not_belong_together_are_refused():
    memory = random_memory("gru")
    state, xs, resets, d_ys = data(memory)
    for bad in ((xs[..., :1], resets, d_ys), (xs, resets[:-1], d_ys), (xs, resets, d_ys[..., :1])):
        with pytest.raises(ConfigError, match=r"xs \[T, B, 2\]"):
            check_shapes(memory, *bad)
    with pytest.raises(ConfigError, match="T and B of at least 1"):
        lag_norms(memory, state, xs[:0], resets[:0], d_ys[:0])
    with pytest.raises(ConfigError, match="spectral_radius is 0"):
        Elman(I, H, spectral_radius=0.0, key=jax.random.key(0))
