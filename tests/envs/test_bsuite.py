"""Memory chain, umbrella and discounting chain beside bsuite's own code, and their ceilings by scripted policies."""

import itertools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.envs import BSUITE, make
from throughtime.envs.suite.memory_chain import MemoryChainState
from throughtime.envs.suite.umbrella import UmbrellaState

pytestmark = pytest.mark.usefixtures("quick_compiler")

KEY = jax.random.key(0)


def original(module):
    """A module of bsuite, whose own dependencies warn when they are imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(f"bsuite.{module}")


def stepper(env):
    step = jax.jit(env.step_env)
    return lambda key, state, action: step(key, state, jnp.int32(action), env.default_params)


@pytest.mark.parametrize(("length", "bits"), [(1, 1), (1, 3), (2, 6), (7, 1)])
def test_memory_chain_steps_as_bsuite_does(length, bits):
    theirs = original("environments.memory_chain").MemoryChain(length, bits, seed=length)
    env, rng = make("memory-chain", length=length, bits=bits), np.random.default_rng(0)
    step, queries = stepper(env), set()
    for _ in range(24):
        now = theirs.reset()
        queries.add(theirs._query)
        state = MemoryChainState(jnp.asarray(theirs._context, jnp.int32), jnp.int32(theirs._query), jnp.int32(0))
        np.testing.assert_allclose(env._observe(state), now.observation[0], atol=1e-7)
        assert int(env.hidden_state(state)) == theirs._context[theirs._query]
        steps = 0
        while not now.last():
            action = int(rng.integers(2))
            now, steps = theirs.step(action), steps + 1
            obs, state, reward, terminated, _ = step(KEY, state, action)
            np.testing.assert_allclose(obs, now.observation[0], atol=1e-7)
            assert (float(reward), bool(terminated)) == (now.reward, now.last())
        assert steps == env.max_episode_steps
    assert queries == set(range(bits))


@pytest.mark.parametrize(("length", "bits"), [(1, 2), (2, 5), (6, 2)])
def test_who_remembers_the_bits_scores_the_optimum(length, bits):
    """Every context and every query, by a policy of the observations that looks back `required_lag` steps."""
    env = make("memory-chain", length=length, bits=bits)
    contexts = np.array(list(itertools.product((0, 1), repeat=bits)))
    rows = [(c, q) for c in contexts for q in range(bits)]
    context, query = np.array([c for c, _ in rows], np.int32), np.array([q for _, q in rows], np.int32)
    state = MemoryChainState(jnp.asarray(context), jnp.asarray(query), jnp.zeros(len(rows), jnp.int32))
    step = jax.jit(jax.vmap(env.step_env, in_axes=(None, 0, 0, None)))
    seen, total = [np.asarray(jax.vmap(env._observe)(state))], np.zeros(len(rows))
    for _ in range(env.max_episode_steps):
        before = seen[max(len(seen) - 1 - env.required_lag, 0)]
        answer = before[np.arange(len(rows)), 2 + seen[-1][:, 1].astype(int)] > 0
        obs, state, reward, _, _ = step(KEY, state, jnp.asarray(answer, jnp.int32), env.default_params)
        seen.append(np.asarray(obs))
        total += np.asarray(reward)
    np.testing.assert_array_equal(total, env.optimal_return)
    if length > 1:  # without memory: at the end each answer is right for as many contexts as the other
        for q in range(bits):
            same = query == q
            assert len(np.unique(seen[length][same], axis=0)) == 1
            assert context[same, q].mean() == 0.5
        assert env.memoryless_return == 0.0


def test_the_bits_and_the_query_are_drawn_evenly():
    env, n = make("memory-chain", bits=4), 4096
    _, state = jax.jit(jax.vmap(env.reset))(jax.random.split(KEY, n))
    assert (np.abs(state.context.mean(axis=0) - 0.5) < 2.5 / np.sqrt(n)).all()
    counts = np.bincount(state.query, minlength=4) / n
    assert (np.abs(counts - 0.25) < 5 * np.sqrt(0.25 * 0.75 / n)).all()


class Fed:
    """In the place of bsuite's random numbers: what it is given, and nothing else."""

    def __init__(self):
        self.given = []

    def binomial(self, n, p, size=None):
        assert (n, p) == (1, 0.5)
        value = self.given.pop(0)
        assert np.shape(value) == (() if size is None else (size,))
        return value


@pytest.mark.parametrize(("length", "distractors"), [(1, 2), (2, 0), (5, 3)])
def test_umbrella_steps_as_bsuite_does(length, distractors):
    """Ours draws; bsuite's own code is given the same random rewards and distractors, and no more than it asks for."""
    theirs = original("environments.umbrella_chain").UmbrellaChain(length, distractors)
    theirs._rng, env, rng = Fed(), make("umbrella", length=length, distractors=distractors), np.random.default_rng(1)
    step, reset = stepper(env), jax.jit(env.reset_env)
    for episode in range(16):
        obs, state = reset(jax.random.key(episode), env.default_params)
        theirs._rng.given = [int(state.need), int(state.has), np.asarray(obs[3:])]
        np.testing.assert_allclose(obs, theirs.reset().observation[0], atol=1e-7)
        done, t = False, 0
        while not done:
            action = int(rng.integers(2))
            obs, state, reward, terminated, _ = step(jax.random.key(100 * episode + t), state, action)
            t += 1
            theirs._rng.given = [np.asarray(obs[3:])]
            if t < length:
                theirs._rng.given.insert(0, (float(reward) + 1) / 2)
            now = theirs.step(action)
            assert theirs._rng.given == []
            np.testing.assert_allclose(obs, now.observation[0], atol=1e-7)
            done = now.last()
            assert (float(reward), bool(terminated)) == (now.reward, done)
        assert t == env.max_episode_steps
        assert int(env.hidden_state(state)) == (now.reward > 0)


def test_umbrella_draws_fair_and_independent_bits():
    env, n = make("umbrella", length=3, distractors=2), 4096
    keys = jax.random.split(KEY, n)
    obs, state = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(1), n))
    after, _, noise, _, _ = jax.jit(jax.vmap(env.step_env, in_axes=(0, 0, None, None)))(
        keys, state, jnp.int32(1), env.default_params
    )
    bits = np.concatenate([obs[:, [0, 1, 3, 4]], after[:, 3:], (noise[:, None] + 1) / 2], axis=1)
    assert set(np.unique(bits)) == {0.0, 1.0}
    covariance = np.cov(bits.T)
    assert (np.abs(bits.mean(axis=0) - 0.5) < 2.5 / np.sqrt(n)).all()
    assert (np.abs(covariance - np.diag(np.diag(covariance))) < 5 * 0.25 / np.sqrt(n)).all()


def test_who_takes_what_is_needed_wins_each_last_reward():
    env = make("umbrella", length=4, distractors=1)
    for need, has in itertools.product((0, 1), repeat=2):
        state, step = UmbrellaState(jnp.int32(need), jnp.int32(has), jnp.int32(0)), stepper(env)
        for t in range(4):
            _, state, reward, _, _ = step(jax.random.key(t), state, need if t == 0 else 1 - need)
        assert float(reward) == env.optimal_return == env.memoryless_return


@pytest.mark.parametrize("mapping_seed", [0, 3, 9])
def test_discounting_chain_steps_as_bsuite_does(mapping_seed):
    theirs = original("environments.discounting_chain").DiscountingChain(mapping_seed)
    env, rng, returns = make("discounting-chain", mapping_seed=mapping_seed), np.random.default_rng(2), []
    step = stepper(env)
    for first in range(5):
        obs, state = env.reset(KEY)
        now, total = theirs.reset(), 0.0
        np.testing.assert_array_equal(obs, now.observation[0])
        while not now.last():
            action = first if state.time == 0 else int(rng.integers(5))
            now = theirs.step(action)
            obs, state, reward, terminated, _ = step(KEY, state, action)
            np.testing.assert_allclose(obs, now.observation[0], atol=1e-7)
            assert float(reward) == np.float32(now.reward)
            assert bool(terminated) == now.last()
            total += float(reward)
        returns.append(total)
    assert max(returns) == pytest.approx(env.optimal_return)
    assert sorted(returns)[-2] == 1.0


OPTIONS = {
    "memory_length": "length",
    "num_bits": "bits",
    "chain_length": "length",
    "n_distractor": "distractors",
    "mapping_seed": "mapping_seed",
}
COUNTS = {"memory_len": 23, "memory_size": 17, "umbrella_length": 23, "umbrella_distract": 23, "discounting_chain": 20}


@pytest.mark.parametrize("name", BSUITE)
def test_settings_are_the_official_ones(name):
    sweep = original(f"experiments.{name}.sweep")
    load = original(f"experiments.{name}.{name}").load
    experiment = BSUITE[name]
    assert len(experiment.settings) == COUNTS[name]
    for theirs, ours in zip(sweep.SETTINGS, experiment.settings, strict=True):
        assert {OPTIONS[k]: v for k, v in theirs.items()}.items() <= ours.items()
        env, loaded = make(experiment.env, **ours), load(**theirs)
        assert loaded.observation_spec().shape == (1, *env.observation_space.shape)
        assert loaded.action_spec().num_values == env.action_space.n
        assert loaded.bsuite_num_episodes == experiment.episodes
        known = {"_memory_length": "length", "_chain_length": "length", "_num_bits": "bits"}
        for theirs_has, ours_has in known.items():
            assert getattr(loaded, theirs_has, None) in (None, getattr(env, ours_has, None))


@pytest.mark.parametrize("name", BSUITE)
def test_scores_are_bsuites(name):
    """On runs that begin to be right after some share of the episodes, the limits among them."""
    pandas = pytest.importorskip("pandas")
    score = original(f"experiments.{name}.analysis").score
    experiment, rng = BSUITE[name], np.random.default_rng(3)
    option = next(k for k, v in OPTIONS.items() if v in experiment.settings[0] and k in score_columns(name))
    n, outcomes, rows = experiment.episodes, [], []
    for i, setting in enumerate(experiment.settings):
        wrong = (0.5 * n, 0.375 * n - 1, 0.375 * n, 0.25 * n - 1, 0.25 * n, 0, n)[i % 7]
        if experiment.counts == "return":
            found = 1.0 + 0.1 * (rng.random(n) < 0.5 + 0.025 * i)
        else:
            found = np.where(np.arange(n) < wrong, -1.0, 1.0)
        outcomes.append(np.concatenate([found, np.full(50, -1.0)]))  # later episodes do not count
        wrongs = int((found < 0).sum())
        totals = {"total_perfect": n - wrongs, "total_regret": 2.0 * wrongs, "total_return": found.sum()}
        rows += [{option: setting[OPTIONS[option]], "episode": n, **totals}]
        rows += [{option: setting[OPTIONS[option]], "episode": 10, **dict.fromkeys(totals, 5.0)}]
    expected = float(score(pandas.DataFrame(rows)))
    assert 0 < expected < 1
    assert experiment.score(outcomes) == pytest.approx(expected, abs=1e-9)


def score_columns(name):
    return {
        "memory_len": ["memory_length"],
        "memory_size": ["num_bits"],
        "umbrella_length": ["chain_length"],
        "umbrella_distract": ["n_distractor"],
        "discounting_chain": ["mapping_seed"],
    }[name]


def test_a_setting_without_episodes_has_no_score():
    with pytest.raises(ConfigError, match="nothing to score"):
        BSUITE["memory_len"].score([np.ones(3), np.ones(0)])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("memory-chain", {"length": 0}),
        ("memory-chain", {"bits": 0}),
        ("umbrella", {"distractors": -1}),
        ("discounting-chain", {"mapping_seed": -1}),
    ],
)
def test_impossible_options_are_refused(name, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        make(name, **options)
