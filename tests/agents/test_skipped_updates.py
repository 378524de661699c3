"""A gradient that is not finite: its update is left out, counted, and nothing else changes.

A finite reward of 1e25 does it: its square in the value loss overflows.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import boundary
from boundary import Clock
from throughtime.agents import PPO, NetworkConfig, PPOConfig
from throughtime.agents.preflight import FAULT_GRADIENT, FAULT_NONE, FORWARD

NETWORK = {"memory": "none", "hidden_size": 3, "encoder": ()}
CONFIG = PPOConfig(num_envs=3, rollout_length=16, bptt_length=8, epochs=2, minibatches=3)


def one_bad_step(config=CONFIG):
    """The PPO and its first state; one of three environments gives the bad reward, once, in its fifth step."""
    env = Clock(shortest=1000, poison="reward", poison_value=1e25, poison_time=5)
    ppo = PPO(env, config, NetworkConfig(**NETWORK))
    state = boundary.initial(ppo, boundary.random_policy(env, **NETWORK), optimiser=ppo.optimiser)
    serials, _ = boundary.serials_and_times(state.actors.observation)
    env = replace(env, poison_serial=int(serials.max()))
    assert (serials == serials.max()).sum() == 1
    return PPO(env, config, NetworkConfig(**NETWORK)), state


def arrays(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


@pytest.fixture(scope="module")
def partly():
    """Two iterations of six updates each, of which two in the first see the bad step: (states, metrics)."""
    ppo, state = one_bad_step()
    iterate = boundary.quick_jit(ppo.iterate)
    states, rows = [state], []
    for _ in range(2):
        state, row, fault = iterate(state, jnp.int32(10), jnp.int32(0))
        assert int(fault.kind) == FAULT_NONE
        states.append(state)
        rows.append(row)
    return states, rows


def test_only_the_minibatches_with_the_bad_step_are_skipped(partly):
    states, rows = partly
    assert [int(row.skipped_updates) for row in rows] == [2, 0]
    assert [int(row.updates) for row in rows] == [4, 6]
    assert [int(state.optimiser.count) for state in states] == [0, 4, 10]
    assert [int(state.guard.skipped) for state in states] == [0, 2, 2]
    assert [int(state.guard.updates) for state in states] == [0, 6, 12]
    assert all(np.isfinite(leaf).all() for leaf in arrays((states[-1].policy, states[-1].optimiser)))


def test_losses_are_means_over_the_updates_that_were_made(partly):
    _, rows = partly
    for row in rows:
        for name in ("policy_loss", "value_loss", "entropy", "approximate_kl", "gradient_norm"):
            assert np.isfinite(getattr(row, name)), name
        assert row.value_loss < 1e6  # 1e25 would have shown


def test_a_skipped_update_changes_neither_the_parameters_nor_the_optimiser():
    ppo, state = one_bad_step(replace(CONFIG, epochs=1, minibatches=1))
    after, row, fault = boundary.quick_jit(ppo.iterate)(state, jnp.int32(10), jnp.int32(0))
    assert (int(fault.kind), int(row.skipped_updates), int(row.updates)) == (FAULT_NONE, 1, 0)
    before = arrays((state.policy, state.optimiser))
    for a, b in zip(before, arrays((after.policy, after.optimiser)), strict=True):
        assert_array_equal(a, b)
    assert (int(after.guard.in_row), int(after.guard.first)) == (1, 1)
    assert dict(zip(FORWARD, after.guard.forward.tolist(), strict=True))["value_loss"]
    assert int(after.iteration) == 1  # environments went on


def test_no_update_is_made_after_too_many_in_a_row():
    """Every minibatch is bad, and the third stops the iteration: the other three are neither made nor counted."""
    env = Clock(poison="reward", poison_value=1e25, poison_time=2, poison_serial=0)
    ppo = PPO(env, replace(CONFIG, max_skipped_updates=3), NetworkConfig(**NETWORK))
    state = boundary.initial(ppo, boundary.random_policy(env, **NETWORK), optimiser=ppo.optimiser)
    after, row, fault = boundary.quick_jit(ppo.iterate)(state, jnp.int32(10), jnp.int32(0))
    assert int(fault.kind) == FAULT_GRADIENT
    assert (int(row.skipped_updates), int(after.guard.updates), int(fault.guard.in_row)) == (3, 3, 3)
