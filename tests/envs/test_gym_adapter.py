"""Gymnasium environments through the adapter ≡ the same ones stepped by hand."""

import sys

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import own_environments as own
import pytest

from throughtime.core import ConfigError
from throughtime.envs import Box, Discrete, HostEnvironment, MultiDiscrete, VectorEnvironment, make, release
from throughtime.envs.adapters.gym import seeds_of

B, T = 5, 60
EVERYTHING = f"{own.FILE}:Everything"


def rollout(env, actions, key):
    """obs [T + 1, B, I], VectorSteps [T, ...], as the compiled loop of training sees them."""
    vector = VectorEnvironment(env, B)

    @jax.jit
    def run(key, actions):
        obs, state = vector.reset(key)

        def body(state, action):
            step = vector.step(key, state, action)
            return step.state, step

        state, steps = jax.lax.scan(body, state, actions)
        return jnp.concatenate([obs[None], steps.obs]), steps

    obs, steps = jax.tree.map(np.asarray, run(key, actions))
    release(env, jax.tree.map(lambda leaf: leaf[-1], steps.state))
    return obs, steps


def random_actions(space, T):
    rng = np.random.default_rng(0)
    if isinstance(space, Discrete):
        return rng.integers(space.n, size=(T, B)).astype(np.int32)
    if isinstance(space, MultiDiscrete):
        return rng.integers(space.sizes, size=(T, B, len(space.sizes))).astype(np.int32)
    return rng.uniform(space.low, space.high, (T, B, *space.shape)).astype(np.float32)


def by_hand(build, key, actions, to_env):
    """The same with Gymnasium alone: its own `flatten`, a reset where an episode ended."""
    envs = [build() for _ in range(B)]
    space = envs[0].observation_space
    flat = lambda o: gymnasium.spaces.flatten(space, o).astype(np.float32)  # noqa: E731
    seeds = seeds_of(np.asarray(jax.random.key_data(key)), B)
    obs = [[flat(env.reset(seed=int(seed))[0]) for env, seed in zip(envs, seeds, strict=True)]]
    rows = []
    for row in actions:
        firsts, steps = [], []
        for env, action in zip(envs, row, strict=True):
            final, reward, terminated, truncated, _ = env.step(to_env(action))
            final = flat(final)
            firsts.append(flat(env.reset()[0]) if terminated or truncated else final)
            steps.append((final, reward, terminated, truncated))
        obs.append(firsts)
        rows.append([np.asarray(x) for x in zip(*steps, strict=True)])
    return np.asarray(obs), [np.stack(x) for x in zip(*rows, strict=True)]


CASES = {
    "Discrete": (
        "gym:CartPole-v1",
        {"time_limit": 15},
        lambda: gymnasium.wrappers.TimeLimit(gymnasium.make("CartPole-v1"), 15),
        np.int64,
    ),
    "Box": (
        "gym:Pendulum-v1",
        {"time_limit": 20, "g": 5.0},
        lambda: gymnasium.wrappers.TimeLimit(gymnasium.make("Pendulum-v1", g=5.0), 20),
        lambda a: a,
    ),
    "every space": (
        EVERYTHING,
        {"scale": 2.0},
        lambda: own.Everything(2.0),
        lambda a: a.astype(np.int64) + np.array([1, 0]),
    ),
}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("case", CASES)
def test_the_adapter_is_gymnasium_stepped_by_hand(case, workers):
    name, options, build, to_env = CASES[case]
    env = make(name, workers=workers, **options)
    assert isinstance(env, HostEnvironment)
    actions, key = random_actions(env.action_space, T), jax.random.key(7)
    obs, steps = rollout(env, actions, key)
    expected_obs, (final, reward, terminated, truncated) = by_hand(build, key, actions, to_env)
    np.testing.assert_array_equal(obs, expected_obs)
    np.testing.assert_array_equal(steps.final_observation, final)
    np.testing.assert_array_equal(steps.reward, reward.astype(np.float32))
    np.testing.assert_array_equal(steps.terminated, terminated)
    np.testing.assert_array_equal(steps.truncated, truncated)
    assert steps.truncated.any()  # else the test shows little
    assert steps.terminated.any() or case == "Box"
    ended = steps.terminated | steps.truncated
    assert (obs[1:][ended] != steps.final_observation[ended]).any(axis=-1).all()


def test_a_seed_decides_everything_and_idle_environments_are_used_again():
    env = make(EVERYTHING)
    actions = random_actions(env.action_space, 20)
    first, again = (rollout(env, actions, jax.random.key(3))[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, rollout(env, actions, jax.random.key(4))[0])


def test_rows_have_seeds_of_their_own_and_two_batches_do_not_disturb_each_other():
    env, vector = make("gym:CartPole-v1"), VectorEnvironment(make("gym:CartPole-v1"), 3)
    (obs, a), (other, b) = vector.reset(jax.random.key(0)), vector.reset(jax.random.key(1))
    assert len(np.unique(np.concatenate([obs, other]), axis=0)) == 6
    push = jnp.zeros(3, jnp.int32)
    after_a = vector.step(jax.random.key(0), a, push)
    after_b = vector.step(jax.random.key(0), b, push)
    assert (np.asarray(after_a.state.time) == 1).all()
    assert (np.asarray(after_b.state.time) == 1).all()
    assert not np.array_equal(after_a.obs, after_b.obs)
    release(env, after_a.state)
    release(env, after_b.state)


def test_a_single_environment_has_gymnaxs_signature():
    env = make("gym:CartPole-v1", time_limit=3)
    obs, state = env.reset(jax.random.key(0))
    assert obs.shape == env.observation_space.shape
    for t in range(3):
        obs, state, reward, terminated, truncated, info = env.step(jax.random.key(t), state, jnp.int32(t % 2))
    assert (float(reward), bool(terminated), bool(truncated)) == (1.0, False, True)
    assert not np.array_equal(obs, info["final_observation"])
    release(env, state)


def test_an_old_state_is_refused():
    env = make("gym:CartPole-v1")
    _, state = env.reset(jax.random.key(0))
    env.step(jax.random.key(0), state, jnp.int32(0))
    _, after, reward, *_ = env.step(jax.random.key(0), state, jnp.int32(0))
    assert np.isnan(reward)
    assert "from an old state" in str(env.error_of(jax.device_get(after)))
    release(env, after)


def test_bounds_that_differ_are_mapped():
    from throughtime.envs.adapters._layout import action_layout

    space = gymnasium.spaces.Box(np.array([[-2.0, 0.0]]), np.array([[2.0, 10.0]]), dtype=np.float64)
    layout = action_layout(space, "it")
    assert layout.space == Box(-1.0, 1.0, (2,))
    np.testing.assert_allclose(layout.read(np.array([0.5, -0.5], np.float32)), [[1.0, 2.5]])
    assert layout.read(np.array([1.0, 1.0], np.float32)).dtype == np.float64


@pytest.mark.parametrize(
    "space",
    [
        gymnasium.spaces.Discrete(4, start=-2),
        gymnasium.spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[0, 1], [2, 3]]),
        gymnasium.spaces.MultiBinary((2, 3)),
        gymnasium.spaces.Box(0, 255, (3, 2, 2), np.uint8),
        gymnasium.spaces.Box(-1.0, 1.0, ()),
        gymnasium.spaces.Tuple(
            (gymnasium.spaces.Discrete(2), gymnasium.spaces.Dict(b=gymnasium.spaces.Box(0, 1, (2,))))
        ),
        own.Everything().observation_space,
    ],
    ids=lambda space: type(space).__name__,
)
def test_the_layout_is_gymnasiums_flatten(space):
    from throughtime.envs.adapters._layout import observation_layout

    layout = observation_layout(space, "it")
    assert len(layout.labels) == layout.size == gymnasium.spaces.flatdim(space)
    space.seed(0)
    for _ in range(20):
        observation, out = space.sample(), np.full(layout.size, 7.0, np.float32)
        layout.write(observation, out)
        np.testing.assert_array_equal(out, gymnasium.spaces.flatten(space, observation).astype(np.float32))
        assert layout.low <= out.min()
        assert out.max() <= layout.high


def test_labels_name_the_parts():
    assert make(EVERYTHING).observation_labels[:6] == (
        "alpha[0] = 5",
        "alpha[0] = 6",
        "alpha[0] = 7",
        "alpha[1] 0",
        "alpha[1] 1",
        "mid 0 = 0",
    )


@pytest.mark.parametrize(
    ("name", "options", "what", "mend"),
    [
        ("gym:CartPole-v7", {}, "There is no environment 'gym:CartPole-v7'", "gym:CartPole-v1"),
        ("gmy:CartPole-v1", {}, "There is no environment", "Did you mean 'gym:CartPole-v1'"),
        ("gym:CartPole-v1", {"colour": 3}, "cannot be built with colour = 3", "constructor"),
        ("gym:CartPole-v1", {"workers": -1}, "workers = -1", "at least 0"),
        ("gym:CartPole-v1", {"timeout": 0.0}, "timeout = 0.0", "60.0"),
        ("gym:CartPole-v1", {"timeout": 5}, "timeout = 5", "float"),
        ("gym:CartPole-v1", {"id": "x"}, "id = 'x'", "Arguments"),
        (f"{own.FILE}:Broken", {"how": "shape"}, "reset does not do what Gymnasium asks", "observation_space"),
        (f"{own.FILE}:Broken", {"how": "old reset"}, "reset does not do what Gymnasium asks", "check_env"),
        (f"{own.FILE}:Broken", {"how": "old step"}, "step does not do what Gymnasium asks", "terminated"),
        (f"{own.FILE}:Broken", {"how": "nan"}, "step gave a NaN", "Correct"),
        (f"{own.FILE}:Broken", {"how": "space"}, "the observation space is a Text", "ObservationWrapper"),
        (f"{own.FILE}:Broken", {"how": "action"}, "the action space is Box", "finite bounds"),
        (f"{own.FILE}:Broken", {"how": "endless"}, "has no longest episode", "time_limit"),
        (f"{own.FILE}:Recal", {}, "has no class 'Recal'", "Did you mean 'Recall'"),
        (f"{own.FILE}:factory", {}, "has no class 'factory'", "Known"),
        (f"{own.FILE}:NotAnEnvironment", {}, "is no environment", "gymnasium.Env"),
        ("own_environmentz.py:Recall", {}, "There is no file", ""),
        ("own_environmentz:Recall", {}, "There is no module", "own_environmentz.py:NAME"),
        (f"{own.FILE}:WideEcho", {}, "reset's observation is float32 [1]", "Mend"),
        (f"{own.FILE}:Echo", {"limt": 3}, "has no option 'limt'", "Did you mean 'limit'"),
    ],
)
def test_mistakes_are_told_before_anything_is_compiled(name, options, what, mend):
    with pytest.raises(ConfigError) as error:
        make(name, **options)
    assert what in error.value.what
    assert mend in error.value.mend


@pytest.mark.parametrize(
    ("name", "options", "extra"),
    [  # options that no other test looked at; minigrid's extra brings gymnasium along
        ("gymnax:CartPole-v1", {"max_steps_in_episode": 77}, "gymnax"),
        ("minigrid:MiniGrid-MemoryS7-v0", {}, "minigrid"),
    ],
)
def test_missing_packages_are_told_at_once_with_their_extra(name, options, extra, monkeypatch):
    for package in ("gymnax", "gymnasium", "minigrid"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError) as error:
        make(name, **options)
    assert f"throughtime[{extra}]" in error.value.mend


def test_babyai_tells_its_mission_once():
    pytest.importorskip("minigrid")
    from throughtime.envs.adapters._mission import WORDS, words_of

    env, plain = make("minigrid:BabyAI-GoToLocal-v0"), gymnasium.make("BabyAI-GoToLocal-v0")
    layout = env.instruction_layout
    assert env.max_episode_steps == 64
    assert env.observation_space == Box(0.0, 1.0, (16 * 32 + 7 * 7 * 20 + 4,))
    assert layout is not None
    assert (layout.words, layout.vocabulary, layout.cells, layout.features) == (16, 32, 49, 20)
    key = jax.random.key(0)
    obs, state = env.reset(key)
    expected, _ = plain.reset(seed=int(seeds_of(np.asarray(jax.random.key_data(key)), 1)[0]))
    words = np.asarray(obs[: 16 * 32]).reshape(16, 32)
    assert " ".join(WORDS[word.argmax()] for word in words if word.any()) == expected["mission"]
    cells = np.asarray(obs[16 * 32 : -4]).reshape(7, 7, 20)
    np.testing.assert_array_equal(cells[..., :11].argmax(-1), expected["image"][..., 0])
    assert obs[-4:].argmax() == expected["direction"]
    later, state, *_ = env.step(key, state, jax.numpy.int32(0))
    assert not later[: 16 * 32].any()
    release(env, state)
    with pytest.raises(ConfigError, match="no word 'sphere'"):
        words_of("go to the red sphere")


def test_minigrid_is_one_hot_and_leaves_the_mission_out():
    minigrid = pytest.importorskip("minigrid")
    from minigrid.core.constants import OBJECT_TO_IDX

    del minigrid
    env, plain = make("minigrid:MiniGrid-MemoryS7-v0"), gymnasium.make("MiniGrid-MemoryS7-v0")
    assert env.observation_space == Box(0.0, 1.0, (4 + 7 * 7 * 20,))
    assert env.max_episode_steps == 245
    key = jax.random.key(0)
    obs, state = env.reset(key)
    expected, _ = plain.reset(seed=int(seeds_of(np.asarray(jax.random.key_data(key)), 1)[0]))
    obs = np.asarray(obs)
    assert obs[:4].argmax() == expected["direction"]
    assert obs.sum() == 1 + 3 * 49
    cells = obs[4:].reshape(7, 7, 20)
    np.testing.assert_array_equal(cells[..., : len(OBJECT_TO_IDX)].argmax(-1), expected["image"][..., 0])
    np.testing.assert_array_equal(cells[..., 11:17].argmax(-1), expected["image"][..., 1])
    np.testing.assert_array_equal(cells[..., 17:].argmax(-1), expected["image"][..., 2])
    release(env, state)


def test_an_old_version_is_refused_by_the_name_of_the_newer_one():
    with pytest.raises(ConfigError, match="old version") as error:
        make("gym:Taxi-v3")
    assert "Taxi-v4" in error.value.why
