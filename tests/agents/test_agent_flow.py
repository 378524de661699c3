"""The microscope on an agent follows PPO's own loss, on the rollout that training uses next."""

import equinox as eqx
import jax
import numpy as np
import pytest

from throughtime.agents import PPO, NetworkConfig, PPOConfig
from throughtime.agents.flow import Microscope
from throughtime.core import named_arrays
from throughtime.envs import make
from throughtime.gradients.flow import step_gradients

CONFIG = PPOConfig(num_envs=2, rollout_length=8, bptt_length=4, epochs=1, minibatches=1)


pytestmark = pytest.mark.usefixtures("quick_compiler")


@pytest.fixture(scope="module")
def agent():
    ppo = PPO(make("t-maze", length=2), CONFIG, NetworkConfig("elman", 3, encoder=(2,), separate_critic=True))
    return ppo, eqx.filter_jit(ppo.init)(0)


def test_what_it_follows_is_the_gradient_of_the_loss(agent):
    """Contributions of all steps, from the microscope's cotangents, sum to the gradient that PPO itself takes."""
    ppo, state = agent
    batch, cotangents = Microscope(ppo, sequences=100)._look(state)
    assert batch.resets.shape == (4, 4)  # all sequences of the rollout
    gathered = eqx.filter_jit(ppo.gather)(state).sequences
    whole = eqx.filter_jit(eqx.filter_grad(lambda n: ppo._loss(n, gathered)[0]))(state.policy.network)
    for name, d_features in zip(("actor", "critic"), cotangents, strict=True):
        tower, start = getattr(state.policy.network, name), getattr(batch.starts, name)
        steps = step_gradients(tower, start, batch.inputs, batch.resets, d_features)
        expected = named_arrays(getattr(whole, name))
        assert np.any(np.asarray(expected["memory.weight_hh"]) != 0)
        for leaf, by_step in named_arrays(steps).items():
            total = np.sum(by_step, axis=0)
            np.testing.assert_allclose(total, expected[leaf], rtol=2e-4, atol=1e-6, err_msg=f"{name} {leaf}")


def test_it_measures_each_memory_and_knows_the_task(agent):
    ppo, state = agent
    before = [np.array(a) for a in jax.tree.leaves(eqx.filter(state.policy, eqx.is_array))]
    flows = Microscope(ppo, sequences=3).measure(state)
    assert list(flows) == ["actor", "critic"]
    for flow in flows.values():
        assert flow.required_lag == 2
        assert flow.horizon.measured <= 2  # episodes of three steps
        assert flow.lags.total.shape[2] == 3
        assert flow.recurrent_radii.keys() == {"weight_hh"}
    for a, b in zip(before, jax.tree.leaves(eqx.filter(state.policy, eqx.is_array)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_network_of_one_memory_is_measured_once():
    ppo = PPO(make("t-maze", length=2), CONFIG, NetworkConfig("none", 3, encoder=()))
    assert len(Microscope(ppo)._look(eqx.filter_jit(ppo.init)(0))[1]) == 1
