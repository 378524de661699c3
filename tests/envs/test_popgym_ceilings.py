"""The ceilings of the card tasks, in which no action changes what is dealt.

Every episode is stepped once, and in each step every action is tried. The best memoryless policy is then a table, read
off the episodes themselves; the optimum is scored by a policy with memory in NumPy.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import hypergeom

from throughtime.envs import make

pytestmark = pytest.mark.usefixtures("quick_compiler")


def episodes_of(env, n):
    """Observations [T, n, O], and the rewards of all actions [T, n, A]."""

    @jax.jit
    def run(keys):
        params, key = env.default_params, keys[0]
        step = jax.vmap(jax.vmap(env.step_env, in_axes=(None, None, 0, None)), in_axes=(None, 0, None, None))

        def body(carry, _):
            obs, states = carry
            after, states, rewards, _, _ = step(key, states, jnp.arange(env.action_space.n), params)
            return jax.tree.map(lambda a: a[:, 0], (after, states)), (obs, rewards)

        first = jax.vmap(env.reset)(keys)
        return jax.lax.scan(body, first, None, length=env.max_episode_steps)[1]

    obs, rewards = run(jax.random.split(jax.random.PRNGKey(0), n))
    return np.asarray(obs), np.asarray(rewards, np.float64)


def returns_of(rewards, actions):
    return np.take_along_axis(rewards, actions[..., None], axis=2)[..., 0].sum(axis=0)


def best_table(which, rewards):
    """The mean return of the best map from (kinds of) observations to actions, found on these episodes."""
    n = which.shape[1]
    table = np.zeros((which.max() + 1, rewards.shape[2]))
    np.add.at(table, which.reshape(-1), rewards.reshape(-1, rewards.shape[2]))
    return table.max(axis=1).sum() / n


def each_observation(obs, rewards):
    _, which = np.unique(obs.reshape(-1, obs.shape[2]), axis=0, return_inverse=True)
    return which.reshape(obs.shape[:2]), rewards


def relative_to_the_suit_in_sight(obs, rewards):
    """All suits are alike: the best policy names the one in sight, or the next one, and so on."""
    suits = (obs.argmax(axis=2)[..., None] + np.arange(4)) % 4
    return np.zeros(obs.shape[:2], int), np.take_along_axis(rewards, suits, axis=2)


def whether_the_queried_kind_is_in_sight(obs, rewards):
    """All kinds are alike: nothing else makes a difference."""
    kinds = obs.shape[2] // 2
    return (obs[..., :kinds] * obs[..., kinds:]).sum(axis=2).astype(int), rewards


def first_suit(obs):
    return np.broadcast_to(obs[0].argmax(axis=1), obs.shape[:2])


def backwards(obs):
    """The suits that were watched, from the last to the first; anything before."""
    cards = (len(obs) + 1) // 2
    suits = obs[:cards, :, 2:].argmax(axis=2)
    return np.concatenate([np.zeros_like(suits[1:]), suits[::-1]])


def count(obs):
    """How many of the queried kind there were; of the actions, the nearest."""
    kinds = obs.shape[2] // 2
    counts, asked = np.cumsum(obs[..., :kinds], axis=0), obs[..., kinds:]
    most = (len(obs) + 1) // kinds - 1
    return np.minimum((counts * asked).sum(axis=2).astype(int), most)


def count_cards(obs):
    left = (len(obs) + 1) // 13 - np.cumsum(obs, axis=0)
    higher, lower = compare(obs, left)
    return (lower > higher).astype(int)


def compare(obs, left):
    """How many of the cards that are left lie above the one in sight, and how many below."""
    below = np.cumsum(left, axis=2) - left
    seen = obs.argmax(axis=2)[..., None]
    lower = np.take_along_axis(below, seen, axis=2)[..., 0]
    return left.sum(axis=2) - lower - np.take_along_axis(left, seen, axis=2)[..., 0], lower


@pytest.mark.parametrize(
    ("name", "level", "n", "policy", "seen"),
    [
        ("repeat-first", "easy", 2000, first_suit, relative_to_the_suit_in_sight),
        ("autoencode", "easy", 2000, backwards, each_observation),
        ("count-recall", "easy", 2000, count, whether_the_queried_kind_is_in_sight),
        ("count-recall", "hard", 500, count, whether_the_queried_kind_is_in_sight),
        ("higher-lower", "easy", 3000, count_cards, each_observation),
        ("higher-lower", "hard", 500, count_cards, each_observation),
    ],
)
def test_ceilings(name, level, n, policy, seen):
    env = make(name, difficulty=level)
    obs, rewards = episodes_of(env, n)
    returns = returns_of(rewards, policy(obs))
    assert returns.mean() == pytest.approx(env.optimal_return, abs=4 * returns.std() / np.sqrt(n) + 1e-5)
    # A table found on the same episodes does a little better on them than in general.
    assert best_table(*seen(obs, rewards)) == pytest.approx(env.memoryless_return, abs=0.005)
    if name in ("repeat-first", "autoencode"):  # the last answer needs the first card
        assert env.required_lag == env.max_episode_steps - 1
    if name == "higher-lower":
        # What the best guess wins on average, given all that was dealt: less noisy than what it won.
        left = env.cards // 13 - np.cumsum(obs, axis=0)
        higher, lower = compare(obs, left)
        returns = (np.abs(higher - lower) / left.sum(axis=2)).sum(axis=0) / env.cards
        assert returns.std() / np.sqrt(n) < 0.0015
        assert returns.mean() == pytest.approx(env.optimal_return, abs=4 * returns.std() / np.sqrt(n))


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_the_ceilings_of_counting_as_sums_of_hypergeometric_probabilities(level):
    env = make("count-recall", difficulty=level)
    N, M, K = env.cards, env.cards_of_a_kind, len(env.kinds)
    dealt, count = np.arange(1, N)[:, None], np.arange(M)
    none_right = hypergeom.pmf(M, N, M, dealt).sum()
    assert env.optimal_return == pytest.approx(1 - 2 * none_right / (N - 1))
    # How many answers should be `count`, where the card in sight is of another kind than the queried one, and of it.
    other = hypergeom.pmf(count, N - 1, M, dealt - 1).sum(axis=0)
    same = hypergeom.pmf(count - 1, N - 1, M - 1, dealt - 1).sum(axis=0)
    right = same.max() / K + other.max() * (K - 1) / K
    assert env.memoryless_return == pytest.approx(2 * right / (N - 1) - 1)
