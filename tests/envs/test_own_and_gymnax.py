"""`module:Class`, `file.py:Class` and `gymnax:NAME`: environments in arrays, compiled with the training."""

import jax
import jax.numpy as jnp
import numpy as np
import own_environments as own
import pytest

from throughtime.core import ConfigError
from throughtime.envs import Box, Discrete, VectorEnvironment, make, make_from_file, name_of, trust


def test_a_functional_class_is_itself():
    env = make(f"{own.FILE}:Echo", limit=9)
    assert env.name == "echo"
    assert env.max_episode_steps == 9
    assert name_of(env) == (f"{own.FILE}:Echo", {"limit": 9})
    assert make("own_environments:Echo") == own.Echo()


def test_names_and_options_lead_back_to_the_same_environment():
    for name, options in (
        ("gym:CartPole-v1", {"workers": 2, "sutton_barto_reward": True}),
        ("gym:CartPole-v1", {}),
        (f"{own.FILE}:Everything", {"scale": 2.0, "time_limit": 7}),
        ("t-maze", {"length": 7}),
    ):
        env = make(name, **options)
        assert name_of(env) == (name, options)
        assert make(*[name_of(env)[0]], **name_of(env)[1]) == env


def test_a_file_makes_no_code_run_unless_the_user_named_it(tmp_path):
    code = tmp_path / "mine.py"
    code.write_text("from own_environments import Echo\nopen(__file__ + '.ran', 'w').close()\n")
    name = f"{code}:Echo"
    for refused in (name, "gym:no_such_module:Thing-v0", "no_such_module:Thing"):
        with pytest.raises(ConfigError) as error:
            make_from_file(refused)
        assert "code to run" in error.value.what
        assert refused in error.value.mend
    assert not (tmp_path / "mine.py.ran").exists()
    trust(name)
    assert make_from_file(name).name == "echo"
    assert (tmp_path / "mine.py.ran").exists()


def test_an_error_in_the_users_file_is_told(tmp_path):
    code = tmp_path / "broken.py"
    code.write_text("import throughtime\nx = 1 / 0\n")
    with pytest.raises(ConfigError) as error:
        make(f"{code}:Env")
    assert "ZeroDivisionError" in error.value.why


GYMNAX = ["CartPole-v1", "Pendulum-v1", "MemoryChain-bsuite", "FrozenLake-misc", "PointRobot-misc", "Catch-bsuite"]


@pytest.mark.parametrize("name", GYMNAX)
def test_gymnax_is_gymnaxs_own_step(name):
    gymnax = pytest.importorskip("gymnax")
    B, T = 3, 25
    env = make(f"gymnax:{name}", max_steps_in_episode=10)
    theirs, params = gymnax.make(name)
    params = params.replace(max_steps_in_episode=10)
    assert env.max_episode_steps == 10
    key = jax.random.PRNGKey(3)  # gymnax's samplers take either kind
    vector, space = VectorEnvironment(env, B), env.action_space
    if isinstance(space, Discrete):
        actions = jax.random.randint(key, (T, B), 0, space.n)
    else:
        actions = jax.random.uniform(key, (T, B, *space.shape), jnp.float32, space.low, space.high)
    obs, state = jax.jit(vector.reset)(key)
    flat = lambda o: (  # noqa: E731
        jax.nn.one_hot(o, env.observation_space.shape[0]) if o.ndim == 1 else o.reshape(B, -1).astype(jnp.float32)
    )
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        their_obs, their_state = jax.vmap(theirs.reset_env, in_axes=(0, None))(jax.random.split(key, B), params)
        np.testing.assert_array_equal(obs, flat(their_obs))
        step, reset = jax.jit(vector.step), jax.jit(jax.vmap(theirs.reset_env, in_axes=(0, None)))
        their_step = jax.jit(jax.vmap(theirs.step_env, in_axes=(0, 0, 0, None)))
        ends = 0
        for t in range(T):
            k = jax.random.fold_in(key, t)
            out = step(k, state, actions[t])
            keys = jax.random.split(k, B + 1)
            action = actions[t] if isinstance(space, Discrete) else actions[t].reshape(B, *space.shape)
            final, their_state, reward, terminated, _ = their_step(keys[1:], their_state, action, params)
            truncated = jax.vmap(theirs.is_truncated, in_axes=(0, None))(their_state, params)
            np.testing.assert_allclose(out.final_observation, flat(final), rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(out.reward, reward, rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(out.terminated, terminated)
            np.testing.assert_array_equal(out.truncated, truncated)
            ended = terminated | truncated
            ends += int(ended.sum())
            fresh = reset(jax.random.split(keys[0], B), params)
            pick = lambda a, b: jnp.where(ended.reshape(B, *[1] * (jnp.ndim(b) - 1)), a, b)  # noqa: B023, E731
            next_obs, their_state = jax.tree.map(pick, fresh, (final, their_state))
            np.testing.assert_allclose(out.obs, flat(next_obs), rtol=1e-5, atol=1e-6)
            state = out.state
        assert ends >= B


def test_gymnax_bounds_and_labels():
    pytest.importorskip("gymnax")
    env = make("gymnax:Pendulum-v1")
    assert env.action_space == Box(-2.0, 2.0, (1,))
    assert env.observation_space == Box(-8.0, 8.0, (3,))
    assert make("gymnax:FrozenLake-misc").observation_labels[3] == "observation = 3"


@pytest.mark.parametrize(
    ("name", "options", "what", "mend"),
    [
        ("gymnax:CartPole-v7", {}, "There is no environment", "CartPole-v1"),
        ("gymnax:CartPole-v1", {"colour": 3}, "cannot be built", "max_steps_in_episode"),
    ],
)
def test_mistakes_with_gymnax(name, options, what, mend):
    pytest.importorskip("gymnax")
    with pytest.raises(ConfigError) as error:
        make(name, **options)
    assert what in error.value.what
    assert mend in error.value.mend
