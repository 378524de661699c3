"""Recorded episodes: those that evaluation scores, with the memory carried from step to step."""

import numpy as np
import pytest
from hand_made import Coins, ResettingAlways, lag_reader, maze, maze_solver, with_fault
from numpy.testing import assert_allclose, assert_array_equal

from boundary import Clock, random_policy
from throughtime.core import ConfigError
from throughtime.runs import evaluate, record_episode, record_episodes, recording

pytestmark = pytest.mark.usefixtures("quick_compiler")
UP, DOWN = 1, 3


def check_maze(policy, env) -> None:
    """A policy that keeps the cue earns 1 in each episode: right along the corridor, then to the side of the cue."""
    episodes = record_episodes(policy, env, episodes=12, seed=3)
    for episode in episodes:
        cue = episode.observations[0, 1]
        assert_array_equal(episode.actions, [0] * env.length + [UP if cue > 0 else DOWN])
        assert episode.score == 1.0
        assert (episode.terminated, episode.truncated) == (True, False)
    assert {float(e.observations[0, 1]) for e in episodes} == {-1.0, 1.0}


def test_an_agent_that_needs_its_memory_is_seen_with_it():
    check_maze(maze_solver(3), maze(3))


def test_a_state_that_is_reset_at_each_step_is_noticed():
    """huggingface_sb3 #8, sb3 #678: the film of an agent that forgot everything at each step."""
    with pytest.raises(AssertionError):
        check_maze(with_fault(maze_solver(4), ResettingAlways), maze(4))


@pytest.mark.parametrize("deterministic", [True, False])
def test_they_are_the_episodes_that_are_scored(deterministic):
    """To the bit, drawn actions included; lengths differ between episodes."""
    env = Clock()
    policy = random_policy(env, memory="gru", hidden_size=3, encoder=(), previous_action=True, previous_reward=True)
    score = evaluate(policy, env, episodes=9, seed=5, deterministic=deterministic)
    episodes = record_episodes(policy, env, episodes=9, seed=5, deterministic=deterministic)
    assert_allclose([e.score for e in episodes], score.returns, rtol=1e-6)
    assert_array_equal([len(e.rewards) for e in episodes], score.lengths)
    assert len(set(score.lengths)) > 1


def test_pieces_do_not_show(monkeypatch):
    """The actions that are drawn are those of one long piece, too."""
    env = Clock(shortest=5)
    policy = random_policy(env, memory="gru", hidden_size=3, encoder=())
    whole = record_episodes(policy, env, episodes=4, seed=1, deterministic=False)
    monkeypatch.setattr(recording, "CHUNK", 2)
    for a, b in zip(whole, record_episodes(policy, env, episodes=4, seed=1, deterministic=False), strict=True):
        assert_array_equal(a.actions, b.actions)
        assert_array_equal(a.observations, b.observations)
        assert_array_equal(a.states.time, b.states.time)
        assert_allclose(a.hidden, b.hidden, rtol=1e-5, atol=1e-6)
        assert (a.terminated, a.truncated) == (b.terminated, b.truncated)


def test_what_is_kept_belongs_together():
    """States are those of the observations beside them, and the coins that earned the rewards can be read off them."""
    env = Coins(lag=2, length=7)
    episode = record_episode(lag_reader(env, 2), env, seed=4)
    assert_array_equal(episode.states.time, np.arange(7))
    coins = np.asarray(episode.states.coins[0])
    assert_array_equal(episode.observations[:, 0], coins[:7])
    right = (episode.actions == 1) == (np.concatenate([[1, 1], coins[:5]]) > 0)
    assert_array_equal(episode.rewards, np.where(np.arange(7) >= 2, right, False).astype(np.float32))
    assert episode.score == episode.rewards.sum() == 5


def test_no_episodes_are_refused():
    with pytest.raises(ConfigError, match="episodes = 0"):
        record_episodes(maze_solver(3), maze(3), episodes=0)
