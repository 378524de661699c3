"""What a tap means, for every memory: `taps[t]` is added to the state that step t hands on to step t+1.

The oracle is NumPy in float64: the reference memories, stepped in a plain loop, and finite differences of it.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_memories import run
from test_memory_laws import CASES, RESETS, B, I, T

from throughtime.agents import NetworkConfig
from throughtime.agents.network import ActorCritic
from throughtime.envs import Discrete
from throughtime.kernels import kernels

pytestmark = pytest.mark.usefixtures("quick_compiler", "float64")


def numpy_loss(reference, xs, taps):
    """The loss of `loss` from a loop over single steps; `taps`: `[T, B, ...]` for each vector of the state."""
    initial, step = reference
    total = 0.0
    for b in range(B):
        state = initial
        for t in range(T):
            state = initial if RESETS[t, b] else state
            state, y = step(state, xs[t, b])
            state = [vector + tap[t, b] for vector, tap in zip(state, taps, strict=True)]
            total += np.sin(y + 1.0).sum()
        total += sum(np.cos(vector + 1.0).sum() for vector in state)
    return total


def loss(taps, memory, xs):
    @eqx.filter_jit  # anew for each case: the kernels are chosen while tracing
    @eqx.filter_value_and_grad
    def value_and_grad(taps, memory, xs):
        final, ys = memory.unroll(memory.initial_state(B), xs, jnp.asarray(RESETS), taps)
        return jnp.sum(jnp.sin(ys + 1.0)) + sum(jnp.sum(jnp.cos(leaf + 1.0)) for leaf in jax.tree.leaves(final))

    return value_and_grad(taps, memory, xs)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_gradient_of_a_tap_is_that_of_the_state_handed_on(case):
    with kernels(case.kernels):
        check_taps(case)


def check_taps(case):
    rng, eps = np.random.default_rng(5), 1e-6
    xs = rng.normal(size=(T, B, I))
    state = case.memory.initial_state(B)
    taps = jax.tree.map(lambda a: jnp.asarray(0.3 * rng.normal(size=(T, *a.shape))), state)
    arrays = [np.asarray(a) for a in jax.tree.leaves(taps)]
    value, grads = loss(taps, case.memory, jnp.asarray(xs))
    np.testing.assert_allclose(value, numpy_loss(case.reference, xs, arrays), rtol=1e-11)
    for t in range(T if arrays else 0):
        ways = [rng.normal(size=a.shape) * (np.arange(T) == t).reshape(-1, *[1] * (a.ndim - 1)) for a in arrays]
        plus, minus = (
            numpy_loss(case.reference, xs, [a + s * eps * w for a, w in zip(arrays, ways, strict=True)])
            for s in (1, -1)
        )
        along = sum(np.sum(np.asarray(g) * w) for g, w in zip(jax.tree.leaves(grads), ways, strict=True))
        np.testing.assert_allclose(along, (plus - minus) / (2 * eps), rtol=1e-6, atol=1e-8, err_msg=f"t = {t}")


@pytest.mark.parametrize("case", [c for c in CASES if c.num_layers > 1 or c.readout], ids=str)
def test_taps_of_zero_change_nothing(case):
    with kernels(case.kernels):
        check_zero_taps(case)


def check_zero_taps(case):
    xs = np.random.default_rng(0).normal(size=(T, B, I))
    state = case.memory.initial_state(B)
    zeros = jax.tree.map(lambda a: jnp.zeros((T, *a.shape), a.dtype), state)
    _, plain = case.unroll(case.memory, state, xs, RESETS)
    _, tapped = eqx.filter_jit(lambda m, *args: m.unroll(*args))(case.memory, state, xs, RESETS, zeros)
    np.testing.assert_allclose(tapped, plain, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(plain, run(case.reference, xs, RESETS)[1], rtol=1e-10, atol=1e-12)


def test_the_towers_of_an_agent_hand_their_taps_to_their_memories():
    config = NetworkConfig(memory="elman", hidden_size=3, encoder=(2,), separate_critic=True)
    network = ActorCritic(I, Discrete(2), config, jax.random.key(0))
    xs, state = jnp.ones((T, B, I), jnp.float32), network.initial_state(B)
    zeros = jax.tree.map(lambda a: jnp.zeros((T, *a.shape), a.dtype), state)

    @jax.grad
    def gradient(taps):
        _, distribution, values = network.unroll(state, xs, jnp.asarray(RESETS), taps)
        return jnp.sum(values[-1]) + jnp.sum(
            distribution.logits[-1] * jnp.asarray([[1.0, 2.0]], jnp.float32).repeat(B, 0)
        )

    taps = gradient(zeros)
    for tower in (taps.actor, taps.critic):
        norms = np.linalg.norm(tower.h, axis=-1)
        assert (norms[-1] == 0).all()  # what the last step hands on, no output has read
        assert (norms[-2] > 0).all()
        assert norms[4, 0] == 0  # row 0 begins a new episode at step 5
        assert norms[4, 1] > 0
