"""What every memory must satisfy: driven by the registry, so that a new one inherits all of it.

In float64 throughout (but for the tests of dtypes): what differs there is wrong, not rounded.
"""

import re
from dataclasses import dataclass, field, replace
from functools import cached_property

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_memories import REFERENCES, run, stack, with_readout
from safetensors import safe_open
from safetensors.numpy import save_file

from throughtime.core import named_arrays, replace_arrays
from throughtime.gradients import rtrl_gradient, unfold, unroll_checkpointed, unroll_truncated
from throughtime.kernels import kernels, library
from throughtime.memory import MEMORIES, Memory, WithReadout, make_memory

T, B, I, H = 7, 2, 2, 3  # noqa: E741
RESETS = np.zeros((T, B), bool)
RESETS[3, 0] = RESETS[5, 0] = RESETS[2, 1] = True


@dataclass(frozen=True)
class Case:
    """A memory to hold to the law: a registered one, a stack of them, or one with a readout."""

    name: str
    options: dict = field(default_factory=dict)
    num_layers: int = 1
    residual: bool = False
    readout: str | None = None  # its g
    kernels: str = "xla"  # the implementation that is held to the law

    def __str__(self):
        words = [*["native"][: self.kernels == "native"], self.name, *(f"{k}={v}" for k, v in self.options.items())]
        if self.num_layers > 1:
            words.append(f"x{self.num_layers}{'-residual' * self.residual}")
        return "-".join([*words, *([f"readout-{self.readout}"] if self.readout else [])])

    def make(self, dtype=np.float64, seed=0) -> Memory:
        """The memory with random numbers in all its parameters, so that no bias is zero and no matrix special.

        Only its structure comes from the library, and NumPy fills it: drawing its weights would be most of the time.
        """

        def build():
            key, more = jax.random.key(0), {"num_layers": self.num_layers, "residual": self.residual}
            memory = make_memory(self.name, I, H, dtype=dtype, key=key, **more, **self.options)
            return WithReadout(memory, 2, self.readout, key=key) if self.readout else memory

        rng = np.random.default_rng(seed)
        shapes = eqx.filter_eval_shape(build)
        return jax.tree.map(lambda a: jnp.asarray(rng.normal(scale=0.6, size=a.shape).astype(dtype)), shapes)

    @cached_property
    def memory(self) -> Memory:
        return self.make()

    @cached_property
    def reference(self):
        memory, of = self.memory, REFERENCES[self.name]
        inner = memory.memory if self.readout else memory
        if self.num_layers > 1 or self.residual:
            reference = stack([of(layer, self.options) for layer in inner.layers], self.residual)
        else:
            reference = of(inner, self.options)
        return with_readout(reference, memory.readout, self.readout) if self.readout else reference

    @cached_property
    def unroll(self):
        return eqx.filter_jit(lambda m, s, xs, resets: m.unroll(s, xs, resets))

    @cached_property
    def value_and_grad(self):
        """The loss over the outputs that `mask [T, B]` lets through and the final state of the rows `keep [B]`."""

        def loss(diff, *args):
            memory, state, xs = diff
            return law_loss(memory.unroll, state, xs, *args)

        return eqx.filter_jit(eqx.filter_value_and_grad(loss))


def law_loss(unroll, state, xs, resets, mask, keep):
    """Of the outputs that `mask [T, B]` lets through and the final state of the rows `keep [B]`."""
    final, ys = unroll(state, xs, resets)
    total = jnp.sum(jnp.sin(jnp.where(mask[..., None], ys, 0.0) + 1.0))
    for leaf in jax.tree.leaves(final):
        total += jnp.sum(jnp.cos(jnp.where(keep.reshape(-1, *[1] * (leaf.ndim - 1)), leaf, 0.0) + 1.0))
    return total


CASES = [Case(name, dict(variant)) for name, spec in MEMORIES.items() for variant in spec.variants]
CASES += [
    Case("gru", {"learn_initial_state": True}, num_layers=2, residual=True),
    Case("tdnn", {"taps": 2, "learn_initial_state": True}, num_layers=2),
    Case("elman", {"output_size": 3}, num_layers=2, residual=True, readout="softmax"),
    Case("lstm", readout="tanh"),
    Case("none", {"f": "relu"}, num_layers=2, residual=True, readout="identity"),
]
# Each of them again with the native kernels, where there are some.
CASES += [replace(case, kernels="native") for case in CASES if case.name in ("elman", "gru", "lstm")]


pytestmark = pytest.mark.usefixtures("quick_compiler")


@pytest.fixture(params=CASES, ids=str, scope="module")
def case(request):
    if request.param.kernels == "native" and library().instruction_set is None:
        pytest.skip(library().reason)
    with jax.enable_x64(True), kernels(request.param.kernels):
        yield request.param


@pytest.fixture
def xs():
    return np.random.default_rng(0).normal(size=(T, B, I))


def start(case, rows=B):
    return case.memory.initial_state(rows)


def moved(state):
    """Another state of the same shape, in which nothing is zero."""
    return jax.tree.map(lambda a: a + 0.5 * jnp.cos(jnp.arange(a.size, dtype=a.dtype)).reshape(a.shape), state)


def leaves(tree):
    return [np.asarray(a) for a in jax.tree.leaves(tree)]


def assert_trees_equal(a, b, tolerance=0.0):
    a, b = named_arrays(a), named_arrays(b)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=tolerance, atol=tolerance, err_msg=name)


def assert_same_state(state, finals, tolerance):
    for i, leaf in enumerate(leaves(state)):
        np.testing.assert_allclose(leaf, np.array([final[i] for final in finals]), rtol=tolerance, atol=tolerance)


def test_every_registered_memory_has_a_reference_and_a_variant():
    assert REFERENCES.keys() == MEMORIES.keys()
    assert all(spec.variants for spec in MEMORIES.values())


def test_unroll_equals_numpy_with_the_state_carried_on(case, xs):
    more = np.random.default_rng(1).normal(size=(T, B, I))
    more_resets = np.roll(RESETS, 1, axis=0)
    state, ys = case.unroll(case.memory, start(case), xs, RESETS)
    state, more_ys = case.unroll(case.memory, state, more, more_resets)
    finals, expected = run(case.reference, np.concatenate([xs, more]), np.concatenate([RESETS, more_resets]))
    np.testing.assert_allclose(np.concatenate([ys, more_ys]), expected, rtol=1e-10, atol=1e-12)
    assert_same_state(state, finals, 1e-10)


def test_step_equals_numpy(case, xs):
    step = eqx.filter_jit(lambda m, s, x: m.step(s, x))
    state, ys = start(case), []
    for x in xs:
        state, y = step(case.memory, state, jnp.asarray(x))
        ys.append(y)
    finals, expected = run(case.reference, xs, np.zeros((T, B), bool))
    np.testing.assert_allclose(np.array(ys), expected, rtol=1e-10, atol=1e-12)
    assert_same_state(state, finals, 1e-10)


def test_packed_sequences_equal_the_sequences_run_apart(case, xs):
    cut = 3
    packed, resets, apart = xs.copy(), np.zeros((T, B), bool), np.zeros((T, B, I))
    packed[:, 1] = packed[:, 0]
    resets[cut] = True  # row 0 and row 1 alike: the sequences xs[:cut] and xs[cut:]
    apart[:cut, 0], apart[: T - cut, 1] = packed[:cut, 0], packed[cut:, 1]
    _, ys = case.unroll(case.memory, start(case), packed, resets)
    _, ys_apart = case.unroll(case.memory, start(case), apart, np.zeros((T, B), bool))
    # A parallel scan adds in an order that depends on the place in the sequence.
    rounding = 1e-13 if case.options.get("scan") == "parallel" else 0.0
    np.testing.assert_allclose(ys[:cut, 0], ys_apart[:cut, 0], rtol=rounding, atol=rounding)
    np.testing.assert_allclose(ys[cut:, 1], ys_apart[: T - cut, 1], rtol=rounding, atol=rounding)


def test_a_reset_at_the_first_step_replaces_the_state(case, xs):
    resets = RESETS.copy()
    resets[0] = True
    state, ys = case.unroll(case.memory, moved(start(case)), xs, resets)
    finals, expected = run(case.reference, xs, resets)
    np.testing.assert_allclose(ys, expected, rtol=1e-10, atol=1e-12)
    assert_same_state(state, finals, 1e-10)


def test_nan_before_a_reset_never_crosses_it(case, xs):
    """Padding of NaN between two episodes, and in the state before the first one, changes nothing at all."""
    resets, mask, keep = np.zeros((T, B), bool), np.ones((T, B), bool), np.ones(B, bool)
    resets[0, 1] = resets[4, 0] = True
    mask[2:4, 0] = False
    padded, state = xs.copy(), moved(start(case))
    padded[2:4, 0] = np.nan
    nan_state = jax.tree.map(lambda a: jnp.asarray(np.concatenate([a[:1], np.full_like(a[1:], np.nan)])), state)
    _, ys = case.unroll(case.memory, nan_state, padded, resets)
    assert np.isfinite(np.asarray(ys)[mask]).all()

    xs[2:4, 0] = 0.0
    value, clean = case.value_and_grad((case.memory, state, xs), resets, mask, keep)
    nan_value, dirty = case.value_and_grad((case.memory, nan_state, padded), resets, mask, keep)
    assert value == nan_value
    assert_trees_equal(clean, dirty)
    assert all(np.isfinite(leaf).all() for leaf in leaves(dirty))


def test_no_gradient_crosses_a_reset(case, xs):
    cut, mask, none = 4, np.zeros((T, B), bool), np.zeros((T, B), bool)
    mask[cut:] = True
    resets = none.copy()
    resets[cut] = True
    diff = (case.memory, moved(start(case)), xs)
    _, (_, d_state, d_xs) = case.value_and_grad(diff, resets, mask, np.ones(B, bool))
    for leaf in leaves(d_state):
        np.testing.assert_array_equal(leaf, 0.0)
    np.testing.assert_array_equal(d_xs[:cut], 0.0)
    assert np.any(d_xs[cut:] != 0.0)
    if case.name != "none" and case.options.get("taps") != 1:
        _, (_, _, d_xs) = case.value_and_grad(diff, none, mask, np.ones(B, bool))
        assert np.any(d_xs[:cut] != 0.0)  # without the reset there is a gradient to stop


def test_all_gradient_methods_agree(case, xs):
    targets = np.random.default_rng(2).normal(size=(T, B, case.memory.output_size))
    inputs = (moved(start(case)), xs, RESETS)

    def loss(y, target):
        return jnp.sum(jnp.square(y - target)) + jnp.sum(y)

    def gradient(unroll):
        return eqx.filter_value_and_grad(lambda memory, state, *args: loss(unroll(memory, state, *args)[1], targets))

    def truncated(k1, k2=None):
        return gradient(lambda *args: unroll_truncated(*args, k1, k2))

    @eqx.filter_jit
    def gradients(memory, *inputs):
        return (
            gradient(lambda m, *args: m.unroll(*args))(memory, *inputs),
            gradient(lambda *args: unroll_checkpointed(*args, segment=3))(memory, *inputs),
            rtrl_gradient(memory, *inputs, loss, targets),
        )

    (value, full), *others = gradients(case.memory, *inputs)
    assert any(np.any(leaf != 0.0) for leaf in leaves(full))
    for other_value, other in others:
        np.testing.assert_allclose(other_value, value, rtol=1e-12)
        assert_trees_equal(other, full, 1e-10)

    def program(function):
        return jax.jit(lambda *args: function(*args)).lower(case.memory, *inputs).as_text()

    whole = program(gradient(lambda m, *args: m.unroll(*args)))
    assert program(truncated(T)) == program(truncated(T + 1)) == program(truncated(2, T)) == whole
    if jax.tree.leaves(inputs[0]):
        assert program(truncated(T - 1)) != whole


def test_unfolded_equals_folded(case, xs):
    mask, keep, start_state = np.ones((T, B), bool), np.ones(B, bool), moved(start(case))
    value, (d_memory, d_state, d_xs) = case.value_and_grad((case.memory, start_state, xs), RESETS, mask, keep)

    def loss(diff):
        return law_loss(*diff, jnp.asarray(RESETS), mask, keep)

    diff = (unfold(case.memory, T), start_state, jnp.asarray(xs))
    gradient = eqx.filter_value_and_grad(loss)
    assert not re.search(r"= (scan|while)\[", str(jax.make_jaxpr(lambda *diff: gradient(diff))(*diff)))
    unfolded_value, (d_unfolded, *others) = eqx.filter_jit(gradient)(diff)
    np.testing.assert_allclose(unfolded_value, value, rtol=1e-12)
    (d_copy,) = d_unfolded.copies
    assert_trees_equal((d_copy, *others), (d_memory, d_state, d_xs), 1e-10)


def test_finite_differences(case, xs):
    mask, keep = np.ones((T, B), bool), np.ones(B, bool)
    diff = (case.memory, moved(start(case)), jnp.asarray(xs))
    _, grads = case.value_and_grad(diff, RESETS, mask, keep)
    rng, eps = np.random.default_rng(3), 1e-6
    for name, leaf in named_arrays(diff).items():
        if leaf.size == 0:
            continue
        direction = rng.normal(size=leaf.shape)

        def shifted(by, name=name, direction=direction):
            arrays = named_arrays(diff)
            return replace_arrays(diff, arrays | {name: np.asarray(arrays[name]) + by * direction})

        plus, minus = (case.value_and_grad(shifted(s * eps), RESETS, mask, keep)[0] for s in (1, -1))
        along = float(np.sum(np.asarray(named_arrays(grads)[name]) * direction))
        np.testing.assert_allclose((plus - minus) / (2 * eps), along, rtol=1e-6, atol=1e-7, err_msg=name)


def test_one_step_and_one_row(case, xs):
    state, ys = case.unroll(case.memory, start(case, 1), xs[:1, :1], np.zeros((1, 1), bool))
    finals, expected = run(case.reference, xs[:1, :1], np.zeros((1, 1), bool))
    np.testing.assert_allclose(ys, expected, rtol=1e-10, atol=1e-12)
    assert_same_state(state, finals, 1e-10)


def test_no_steps(case):
    before = moved(start(case))
    diff = (case.memory, before, np.zeros((0, B, I)))
    none = np.zeros((0, B), bool)
    state, ys = case.unroll(*diff, none)
    assert ys.shape == (0, B, case.memory.output_size)
    assert_trees_equal(state, before)
    _, (d_memory, d_state, _) = case.value_and_grad(diff, none, none, np.ones(B, bool))
    for leaf in leaves(d_memory):
        np.testing.assert_array_equal(leaf, 0.0)
    for leaf, h in zip(leaves(d_state), leaves(before), strict=True):
        np.testing.assert_allclose(leaf, -np.sin(h + 1.0))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_dtype_is_kept(case, dtype):
    with jax.enable_x64(False):
        memory = case.make(dtype)
        state = memory.initial_state(B)

        def loss(diff, resets):
            memory, state, xs = diff
            state, ys = memory.unroll(state, xs, resets)
            return jnp.sum(ys), (state, ys)

        diff, resets = (memory, state, jnp.zeros((T, B, I), dtype)), jnp.asarray(RESETS)
        out = eqx.filter_eval_shape(eqx.filter_value_and_grad(loss, has_aux=True), diff, resets)
        assert {leaf.dtype for leaf in jax.tree.leaves((memory, state, out))} == {np.dtype(dtype)}


def test_one_trace_is_enough_and_float32_is_near_float64(case, xs):
    reference = case.reference  # whose memory is made in float64
    with jax.enable_x64(False):
        memory, traces = case.make(np.float32), []

        @eqx.filter_jit
        def unroll(memory, state, xs, resets):
            traces.append(None)
            return memory.unroll(state, xs, resets)

        state = memory.initial_state(B)
        for resets in (RESETS, ~RESETS):
            last, ys = unroll(memory, state, jnp.asarray(xs, jnp.float32), jnp.asarray(resets))
            np.testing.assert_allclose(ys, run(reference, xs, resets)[1], rtol=1e-4, atol=1e-4)
        unroll(memory, last, jnp.asarray(xs, jnp.float32), jnp.asarray(RESETS))
        assert len(traces) == 1


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_save_and_load_are_bit_exact(case, dtype, tmp_path):
    with jax.enable_x64(False):
        memory, other = case.make(dtype, seed=1), case.make(dtype, seed=2)
        path = tmp_path / "memory.safetensors"
        save_file({name: np.asarray(a) for name, a in named_arrays(memory).items()}, path)
        with safe_open(path, framework="numpy") as stored:
            loaded = replace_arrays(other, {name: stored.get_tensor(name) for name in stored.keys()})  # noqa: SIM118
        assert jax.tree.structure(loaded) == jax.tree.structure(memory)
        for a, b, c in zip(leaves(loaded), leaves(memory), leaves(other), strict=True):
            assert a.dtype == b.dtype
            assert a.tobytes() == b.tobytes() != c.tobytes()
