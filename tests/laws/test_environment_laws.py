"""What every registered environment must satisfy."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.envs import ENVIRONMENTS, Box, MultiDiscrete, VectorEnvironment, entry_of, make

pytestmark = pytest.mark.usefixtures("quick_compiler")

B = 5
# Short episodes where an option allows it, so that a rollout sees many ends of each kind; and tables where they are to
# be had.
SMALL = {"length": 6, "time_limit": 13, "distractor": 5, "size": 2, "rocks": 2}
T = 60
ONE_START = {"discounting-chain"}  # begins in the same state always, by definition
# A file whose rewards depend on all that they can depend on, and one with an end.
DATA = Path(__file__).parents[1] / "data"
NAMES = [*ENVIRONMENTS, *(f"pomdp:{DATA / name}.POMDP" for name in ("market", "paint-mended"))]


def small(name):
    return make(name, **{k: v for k, v in SMALL.items() if k in entry_of(name).options})


def steps_of(env):
    """T, or more where episodes cannot be made shorter."""
    return max(T, env.max_episode_steps + 5)


def random_actions(env, key, shape):
    space = env.action_space
    if isinstance(space, Box):
        return jax.random.uniform(key, (*shape, *space.shape), jnp.float32, space.low, space.high)
    shape = (*shape, *space.shape)
    most = jnp.broadcast_to(jnp.array(space.sizes), shape) if isinstance(space, MultiDiscrete) else space.n
    return jax.random.randint(key, shape, 0, most)


def vector_rollout(env):
    """A function of a key: keys, actions [T, ...]; obs, states [T + 1, ...]; VectorSteps [T, ...]."""
    vector, T = VectorEnvironment(env, B), steps_of(env)

    @jax.jit
    def run(key):
        first_key, step_key, action_key = jax.random.split(key, 3)
        keys, actions = jax.random.split(step_key, T), random_actions(env, action_key, (T, B))
        obs, state = vector.reset(first_key)

        def body(state, inputs):
            step = vector.step(inputs[0], state, inputs[1])
            return step.state, step

        _, steps = jax.lax.scan(body, state, (keys, actions))
        states = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), state, steps.state)
        return keys, actions, jnp.concatenate([obs[None], steps.obs]), states, steps

    return run


@pytest.fixture(scope="module", params=NAMES)
def env(request):
    return small(request.param)


@pytest.fixture(scope="module")
def run(env):
    return vector_rollout(env)


@pytest.fixture(scope="module")
def rollout(run):
    return jax.tree.map(np.asarray, run(jax.random.PRNGKey(0)))


def test_the_registry_knows_it_by_its_name(env):
    entry = entry_of(env.name)
    assert isinstance(env, entry.build)
    assert entry.description.endswith(".")
    assert "\n" not in entry.description
    assert hash(env) == hash(small(env.name))


def test_shapes_and_dtypes_stay_the_same(env):
    key = jax.random.PRNGKey(0)
    obs, state = jax.eval_shape(env.reset, key)
    action = jax.eval_shape(lambda: random_actions(env, key, ()))
    next_obs, next_state, reward, terminated, truncated, info = jax.eval_shape(env.step, key, state, action)
    assert (obs.shape, obs.dtype) == (env.observation_space.shape, jnp.float32)
    for after in (next_obs, info["final_observation"]):
        assert (after.shape, after.dtype, after.weak_type) == (obs.shape, obs.dtype, False)
    for leaf, after in zip(jax.tree.leaves(state), jax.tree.leaves(next_state), strict=True):
        assert (after.shape, after.dtype) == (leaf.shape, leaf.dtype)
        assert leaf.weak_type is after.weak_type is False
    assert (reward.shape, reward.dtype, reward.weak_type) == ((), jnp.float32, False)
    assert terminated.shape == truncated.shape == ()
    assert terminated.dtype == truncated.dtype == jnp.bool_
    hidden = jax.eval_shape(env.hidden_state, state)
    assert (hidden.dtype, hidden.ndim) in ((jnp.int32, 0), (jnp.float32, 1))


def test_observations_lie_in_their_space(env, rollout):
    _, _, obs, _, steps = rollout
    for o in (obs, steps.final_observation):
        assert np.isfinite(o).all()
        assert (o >= env.observation_space.low).all()
        assert (o <= env.observation_space.high).all()
    assert obs.shape == (steps_of(env) + 1, B, *env.observation_space.shape)
    assert steps.reward.dtype == np.float32
    assert steps.terminated.dtype == steps.truncated.dtype == np.bool_


def test_a_seed_decides_everything(run, rollout):
    again, other = run(jax.random.PRNGKey(0)), run(jax.random.PRNGKey(1))
    for a, b in zip(jax.tree.leaves(rollout), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(rollout[2], other[2])


def test_rows_differ_from_each_other(env, rollout):
    _, _, _, states, _ = rollout
    at = 1 if env.name in ONE_START else 0
    starts = np.concatenate([leaf[at].reshape(B, -1) for leaf in states], axis=1)
    assert len(np.unique(starts, axis=0)) > 1


def test_vector_step_is_step_env_and_where_an_episode_ends_reset_env(env, rollout):
    """Against plain calls without select or cond, with the keys that `VectorEnvironment.step` documents."""
    keys, actions, obs, states, steps = rollout
    params = env.default_params
    at = lambda tree, t: jax.tree.map(lambda a: a[t], tree)  # noqa: E731
    step_env = jax.jit(jax.vmap(env.step_env, in_axes=(0, 0, 0, None)))
    reset_env = jax.jit(jax.vmap(env.reset_env, in_axes=(0, None)))
    is_truncated = jax.jit(jax.vmap(env.is_truncated, in_axes=(0, None)))
    ends = 0
    for t in range(steps_of(env)):
        reset_key, step_keys = keys[t], jnp.stack([keys[t]] * B)
        if env.stochastic_step:
            split = jax.random.split(keys[t], B + 1)
            reset_key, step_keys = split[0], split[1:]
        final, state, reward, terminated, _ = step_env(step_keys, at(states, t), actions[t], params)
        truncated = is_truncated(state, params)
        fresh_obs, fresh_state = reset_env(jax.random.split(reset_key, B), params)
        np.testing.assert_allclose(steps.final_observation[t], final, rtol=2e-6, atol=2e-6)
        np.testing.assert_allclose(steps.reward[t], reward, rtol=2e-6, atol=2e-6)
        np.testing.assert_array_equal(steps.terminated[t], terminated)
        np.testing.assert_array_equal(steps.truncated[t], truncated)
        for b in range(B):
            ended = bool(terminated[b]) or bool(truncated[b])
            ends += ended
            expected = (fresh_obs, fresh_state) if ended else (final, state)
            actual = (obs[t + 1], at(states, t + 1))
            for e, a in zip(jax.tree.leaves(expected), jax.tree.leaves(actual), strict=True):
                np.testing.assert_allclose(np.asarray(e)[b], a[b], rtol=2e-6, atol=2e-6)
    assert ends >= B


def test_single_step_is_step_env_and_where_an_episode_ends_reset_env(env, rollout):
    keys, actions, _, states, steps = rollout
    params = env.default_params
    ended = steps.terminated | steps.truncated
    for flag in (True, False):  # one step that ends an episode, and one that does not
        t, b = np.argwhere(ended == flag)[0]
        state = jax.tree.map(lambda a: jnp.asarray(a[t, b]), states)  # noqa: B023
        key, action = jnp.asarray(keys[t]), jnp.asarray(actions[t, b])
        obs, after, reward, terminated, truncated, info = env.step(key, state, action)
        step_key, reset_key = jax.random.split(key) if env.stochastic_step else (key, key)
        final, next_state, plain_reward, plain_terminated, _ = env.step_env(step_key, state, action, params)
        plain_truncated = env.is_truncated(next_state, params)
        assert (bool(terminated), bool(truncated)) == (bool(plain_terminated), bool(plain_truncated))
        assert float(reward) == float(plain_reward)
        np.testing.assert_array_equal(info["final_observation"], final)
        expected = (final, next_state)
        if plain_terminated or plain_truncated:
            expected = env.reset_env(reset_key, params)
        for e, a in zip(jax.tree.leaves(expected), jax.tree.leaves((obs, after)), strict=True):
            np.testing.assert_array_equal(e, a)


def test_no_episode_is_longer_than_it_says(env, rollout):
    _, _, _, _, steps = rollout
    ended = steps.terminated | steps.truncated
    for row in ended.T:
        gaps = np.diff(np.concatenate([[-1], np.flatnonzero(row)]))
        assert gaps.max() <= env.max_episode_steps
    if not steps.terminated.any():  # only the limit ends it, so exactly at the limit
        assert gaps.min() == env.max_episode_steps


def test_ceilings_are_in_order(env):
    """They are equal where nothing has to be remembered."""
    if env.optimal_return is not None and env.memoryless_return is not None:
        assert env.memoryless_return <= env.optimal_return
        assert (env.memoryless_return == env.optimal_return) == (env.required_lag == 0)
    assert 0 < env.discount <= 1
    assert env.required_lag is None or env.required_lag >= 0


@pytest.mark.parametrize("name", [name for name in NAMES if small(name).tables() is not None])
def test_tables_agree_with_step_env(name):
    """Each frequency lies within five standard errors of its table."""
    env = small(name)
    tables, n = env.tables(), 20_000
    keys = jax.random.split(jax.random.PRNGKey(3), n)
    params = env.default_params
    S, A, _ = tables.transition.shape

    def index_of(obs):
        same = (np.asarray(obs)[:, None] == tables.observations[None]).reshape(n, len(tables.observations), -1)
        assert (same.all(axis=2).sum(axis=1) == 1).all()
        return same.all(axis=2).argmax(axis=1)

    def assert_frequencies(counts, probabilities):
        error = 5 * np.sqrt(probabilities * (1 - probabilities) / counts.sum()) + 1e-12
        assert (np.abs(counts / counts.sum() - probabilities) <= error).all(), (counts, probabilities)

    first_obs, starts = jax.vmap(env.reset_env, in_axes=(0, None))(keys, params)
    hidden = np.asarray(jax.vmap(env.hidden_state)(starts))
    joint = np.zeros((S, len(tables.observations)))
    np.add.at(joint, (hidden, index_of(first_obs)), 1)
    assert_frequencies(joint, tables.initial[:, None] * tables.first_observation)

    # A state of each kind: from the starts where an episode can begin with it, else from random steps onwards.
    step = jax.jit(jax.vmap(env.step_env, in_axes=(0, None, None, None)))
    walk = jax.jit(jax.vmap(env.step_env, in_axes=(0, 0, 0, None)))
    found, states = {}, starts
    for t in range(100):
        hidden = np.asarray(jax.vmap(env.hidden_state)(states))
        for s in set(hidden.tolist()) - set(found):
            found[s] = jax.tree.map(lambda a: a[np.flatnonzero(hidden == s)[0]], states)  # noqa: B023
        if len(found) == S:
            break
        actions = jax.random.randint(jax.random.PRNGKey(t), (n,), 0, A)
        _, states, _, _, _ = walk(jax.random.split(jax.random.PRNGKey(t), n), states, actions, params)
    for s in range(S):
        state = found[s]
        for a in range(A):
            obs, after, reward, terminated, _ = step(keys, state, jnp.int32(a), params)
            error = 5 * np.asarray(reward).std() / np.sqrt(n) + 1e-5 * abs(tables.reward[s, a])
            assert abs(reward.mean() - tables.reward[s, a]) <= error
            assert (np.asarray(terminated) == tables.terminal[s, a]).all()
            joint = np.zeros((S, len(tables.observations)))
            np.add.at(joint, (np.asarray(jax.vmap(env.hidden_state)(after)), index_of(obs)), 1)
            assert_frequencies(joint, tables.transition[s, a][:, None] * tables.observation[a])
