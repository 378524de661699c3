"""What evidence is taken from: Python environments, rewards that say nothing, twins of another budget or seed."""

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import own_environments as own
import pytest
from hand_made import Coins

from throughtime.agents import NetworkConfig, Policy
from throughtime.agents.estimator import Estimator, FrozenMemory
from throughtime.core import EnvironmentStepError, NonFiniteError
from throughtime.envs import Revealed, close_environments, make
from throughtime.envs.adapters import gym
from throughtime.proof.evidence import ablate, record, replay_parity
from throughtime.proof.evidence.prove import _paired, of_equal_budget
from throughtime.proof.twins import Entry, memory_owner, possible_twins
from throughtime.runs import EnvConfig, RunConfig

pytestmark = pytest.mark.usefixtures("quick_compiler")
SMALL = NetworkConfig(hidden_size=4, encoder=())
FAULTY, RECALL = f"{own.FILE}:Faulty", f"{own.FILE}:Recall"


@pytest.fixture(autouse=True)
def _close():
    yield
    close_environments()


@dataclass(frozen=True)
class WithoutReward(Coins):
    def step_env(self, key, state, action, params):
        obs, state, _, terminated, info = super().step_env(key, state, action, params)
        return obs, state, jnp.full((), jnp.nan), terminated, info


def test_a_reward_that_is_nan_is_no_evidence():
    env = WithoutReward()
    policy = Policy(env, SMALL, jax.random.key(0))
    with pytest.raises(NonFiniteError, match="not finite"):
        record(policy, env, episodes=16)
    scale = record(policy, Coins(), episodes=16).scale
    with pytest.raises(NonFiniteError, match="not finite"):
        ablate(policy, env, scale, periods=[1], noise_sizes=[1.0], episodes=16)


def test_python_environments_are_given_back():
    env = make(RECALL)
    policy = Policy(env, SMALL, jax.random.key(0))
    scale = record(policy, env, episodes=100).scale
    ablations = ablate(policy, env, scale, periods=[1], noise_sizes=[1.0], episodes=16)
    assert np.isfinite(ablations.intact).all()
    assert replay_parity(policy, env, environments=4).holds
    assert gym._sessions == {}


def test_a_python_environment_that_fails_is_told():
    env = make(FAULTY, restarts=0, how="raise", every=1)
    policy = Policy(env, SMALL, jax.random.key(0))
    with pytest.raises(EnvironmentStepError):
        record(policy, env, episodes=16)
    assert gym._sessions == {}


def test_returns_are_measured_on_the_same_episodes_behind_a_wrapper():
    env = make(f"pomdp:{Path(__file__).parents[1] / 'data' / 'tiger.POMDP'}")
    assert env.scored.max_episode_steps > env.max_episode_steps
    assert Revealed(env).scored == Revealed(env.scored)
    frozen = FrozenMemory(env, Estimator(env, SMALL, jax.random.key(0)))
    assert frozen.scored.env == env.scored
    assert frozen.scored.estimator is frozen.estimator
    assert frozen.max_episode_steps == env.max_episode_steps


def entry(role, seeds, finished=True):
    runs = [SimpleNamespace(finished=finished, config=RunConfig(seed=seed)) for seed in seeds]
    return Entry(role, role, tuple(runs))  # pyright: ignore[reportArgumentType]


def test_a_twin_of_a_smaller_budget_is_no_twin():
    whole, half = entry("memoryless", [0]), entry("state", [0], finished=False)
    assert of_equal_budget((whole, half)) == (whole,)


def test_twins_are_paired_by_seed():
    agent, returns = entry("memory", [3, 1]), [np.array([1.0]), np.array([2.0]), np.array([3.0])]
    assert [r.item() for r in _paired(entry("memoryless", [1, 2, 3]), agent, returns)] == [3.0, 1.0]
    together = _paired(entry("memoryless", [1, 2]), agent, returns[:2])  # seed 3 is missing
    assert [r.tolist() for r in together] == [[1.0, 2.0]]


@pytest.mark.parametrize(
    ("network", "reveal", "owner"),
    [
        (NetworkConfig("gru"), False, "the GRU"),
        (NetworkConfig("minlstm"), False, "the minLSTM"),
        (NetworkConfig("jordan"), False, "the Jordan network"),
        (NetworkConfig("tdnn", memory_options={"taps": 8}), False, "the TDNN of window 8"),
        (NetworkConfig("none"), False, "a policy without memory"),
        (NetworkConfig("none"), True, "a policy that sees the state"),
    ],
)
def test_a_memory_s_owner_in_a_sentence(network, reveal, owner):
    assert memory_owner(RunConfig(EnvConfig(reveal=reveal), network)) == owner


def test_the_twin_that_sees_the_state_is_left_out_where_nobody_tells_it():
    tiger = RunConfig(env=EnvConfig("tiger"))
    assert possible_twins(tiger) == ("memoryless", "window", "state")
    hidden = replace(tiger, env=EnvConfig("gym:CartPole-v1"))
    assert possible_twins(hidden) == ("memoryless", "window")
