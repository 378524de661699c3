"""Our environments as Gymnasium's: its checker, stable-baselines3's, and our own steps beside them."""

import warnings

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import own_environments as own
import pytest
from gymnasium.utils.env_checker import check_env

from throughtime.envs import ENVIRONMENTS, make, to_gymnasium

NAMES = list(ENVIRONMENTS)


@pytest.mark.parametrize("name", NAMES)
def test_it_passes_gymnasiums_checker(name):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Not able to test alternative render modes.*")
        warnings.filterwarnings("ignore", message=".*Box observation space (minimum|maximum) value is.*")
        warnings.filterwarnings("ignore", message=".*For Box action spaces, we recommend using.*")
        check_env(to_gymnasium(make(name)), skip_render_check=True)


@pytest.mark.parametrize("name", NAMES)
def test_it_passes_sb3s_checker(name):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*symmetric and normalized Box action space.*")
        checker.check_env(to_gymnasium(make(name)))


def test_its_steps_are_ours_and_an_ended_episode_shows_its_final_observation():
    ours, wrapped = own.Echo(limit=3), to_gymnasium(own.Echo(limit=3))
    obs, _ = wrapped.reset(seed=11)
    rng = gymnasium.utils.seeding.np_random(11)[0]
    key = lambda: jax.random.key(int(rng.integers(2**31)))  # noqa: E731
    expected, state = ours.reset(key())
    np.testing.assert_array_equal(obs, expected)
    for t in range(3):
        obs, reward, terminated, truncated, _ = wrapped.step(1)
        _, state, expected_reward, _, expected_truncated, info = ours.step(key(), state, jnp.int32(1))
        np.testing.assert_array_equal(obs, info["final_observation"])
        assert (reward, terminated, truncated) == (float(expected_reward), False, bool(expected_truncated))
        assert truncated == (t == 2)


def test_a_batch_resets_in_the_same_step_and_keeps_final_observations():
    batch = to_gymnasium(make("gym:CartPole-v1", time_limit=4), num_envs=3)
    assert batch.metadata["autoreset_mode"] == gymnasium.vector.AutoresetMode.SAME_STEP
    obs, _ = batch.reset(seed=0)
    assert batch.observation_space.contains(obs)
    for t in range(8):
        obs, reward, terminated, truncated, info = batch.step(np.array([0, 1, t % 2]))
        assert (reward.shape, reward.dtype) == ((3,), np.float64)
        assert not terminated.any()
        assert truncated.all() == (t in (3, 7))
        if truncated.all():
            assert info["_final_obs"].all()
            assert all((np.abs(final - new) > 0).any() for final, new in zip(info["final_obs"], obs, strict=True))


def test_a_seed_repeats_an_episode():
    env = to_gymnasium(make("tiger"))
    runs = [[env.reset(seed=5)[0], *(env.step(0)[0] for _ in range(5))] for _ in range(2)]
    np.testing.assert_array_equal(*runs)
