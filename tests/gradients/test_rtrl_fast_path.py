"""RTRL of a diagonal recurrence: shared directions give the gradient that all of them give."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import named_arrays
from throughtime.gradients import rtrl_gradient
from throughtime.memory import WithReadout, make_memory

T, B, I, H = 8, 2, 3, 4  # noqa: E741


pytestmark = pytest.mark.usefixtures("quick_compiler")


def loss(y, target):
    return jnp.sum(jnp.square(jnp.sin(y) - target))


def problem(name, readout):
    rng = np.random.default_rng(0)
    memory = make_memory(name, I, H, learn_initial_state=True, key=jax.random.key(0))
    if readout:
        memory = WithReadout(memory, 2, "tanh", key=jax.random.key(1))
    memory = jax.tree.map(lambda a: jnp.asarray(rng.normal(scale=0.6, size=a.shape)), memory)
    state = jax.tree.map(lambda a: a + 0.5, memory.initial_state(B))
    resets = jnp.zeros((T, B), bool).at[3, 0].set(True).at[5, 1].set(True)
    return memory, state, jnp.asarray(rng.normal(size=(T, B, I))), resets, rng.normal(size=(T, B, memory.output_size))


@pytest.mark.parametrize(("name", "readout"), [("lru", False), ("mingru", True), ("minlstm", False)])
def test_it_equals_general_rtrl_and_bptt(name, readout):
    with jax.enable_x64(True):
        memory, *inputs, targets = problem(name, readout)

        @eqx.filter_jit
        def gradients(memory, *inputs):
            def total(memory, *inputs):
                return sum(loss(y, target) for y, target in zip(memory.unroll(*inputs)[1], targets, strict=True))

            rtrl = [rtrl_gradient(memory, *inputs, loss, targets, diagonal=d) for d in (True, False)]
            return [*rtrl, eqx.filter_value_and_grad(total)(memory, *inputs)]

        (value, fast), *others = gradients(memory, *inputs)
        for other_value, other in others:
            np.testing.assert_allclose(value, other_value, rtol=1e-12)
            assert named_arrays(fast).keys() == named_arrays(other).keys()
            for leaf, array in named_arrays(other).items():
                np.testing.assert_allclose(named_arrays(fast)[leaf], array, rtol=1e-10, atol=1e-12, err_msg=leaf)
                assert np.any(np.asarray(array) != 0.0), leaf


@pytest.mark.parametrize("name", ["lru", "mingru", "minlstm"])
def test_no_parameter_outside_per_unit_reaches_the_state_and_none_inside_reaches_another_unit(name):
    """What the shared directions stand on, by the full Jacobian of one step after a reset."""
    with jax.enable_x64(True):
        memory, state, xs, _, _ = problem(name, readout=False)

        @jax.jit
        @jax.jacfwd
        def jacobian(memory):
            fresh = jax.tree.map(lambda a, b: jnp.concatenate([a[:1], b[1:]]), memory.initial_state(B), state)
            return jnp.stack(memory.advance(fresh, memory.project(xs[0]))[0])  # [parts, B, H]

        for leaf, J in named_arrays(jacobian(memory)).items():
            if leaf not in type(memory).per_unit:
                np.testing.assert_array_equal(J, 0.0, err_msg=leaf)
                continue
            owners = np.moveaxis(np.asarray(J), 2, -1).reshape(-1, H, H)  # [.., unit of the parameter, unit of h]
            for owned in owners:
                np.testing.assert_array_equal(owned - np.diag(np.diag(owned)), 0.0, err_msg=leaf)
            assert np.any(owners != 0.0), leaf


def test_it_carries_one_number_for_each_row_and_parameter():
    """The largest array of the compiled program is P/H · B · H numbers, not P · B · H."""
    memory, *inputs, targets = problem("mingru", readout=False)
    P = sum(a.size for a in jax.tree.leaves(memory))

    def sizes(diagonal):
        function = lambda m, *args: rtrl_gradient(m, *args, loss, targets, diagonal=diagonal)  # noqa: E731
        jaxpr = jax.make_jaxpr(function)(memory, *inputs)
        (scan,) = (e for e in jaxpr.eqns if e.primitive.name == "scan")
        return max(v.aval.size for v in scan.outvars)

    assert sizes(True) == P * B
    assert sizes(False) == P * B * H
