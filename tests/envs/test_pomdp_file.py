"""`pomdp:FILE` as an environment: names, ceilings, the cache, and files that go away or change."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.envs import make
from throughtime.envs.pomdp_file import ceilings, read_model

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, on disk and in memory; and few seconds for the solver."""
    monkeypatch.setenv("THROUGHTIME_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(ceilings, "_SOLVED", {})
    monkeypatch.setattr(ceilings, "SECONDS_MEMORYLESS", 1.0)
    return tmp_path / "cache"


def test_names_of_the_file_reach_reports():
    env = make(f"pomdp:{DATA / 'tiger.POMDP'}")
    assert env.observation_labels == ("nothing yet", "heard-left", "heard-right")
    assert env.action_labels == ("listen", "open-left", "open-right")
    assert env.discount == 0.95
    assert env.required_lag is None


def test_mistakes_in_the_name():
    with pytest.raises(ConfigError, match="names no file"):
        make("pomdp:")
    with pytest.raises(ConfigError, match=r"write pomdp:models/tiger\.pomdp"):
        make("models/tiger.pomdp")
    with pytest.raises(ConfigError, match="pomdp:FILE"):
        make("pomdp")
    with pytest.raises(ConfigError, match="path is not an option"):
        make(f"pomdp:{DATA / 'tiger.POMDP'}", path="other.POMDP")
    for value in (-1, True, 2.0):
        with pytest.raises(ConfigError, match=f"time_limit = {value}"):
            make(f"pomdp:{DATA / 'tiger.POMDP'}", time_limit=value)


def test_the_time_limit_follows_from_the_discount():
    for name, steps, scored in (("tiger", 40, 135), ("tmaze2", 20, 66), ("heavenhell", 200, 688)):
        env = make(f"pomdp:{DATA / f'{name}.POMDP'}")
        assert env.max_episode_steps == env.time_limit == steps
        assert env.scored.time_limit == scored
        assert env.discount**scored <= 1e-3 < env.discount ** (scored - 1)
    long = make(f"pomdp:{DATA / 'tiger.POMDP'}", time_limit=500)
    assert long.scored == long


def test_a_file_that_is_gone_or_changed_is_refused(tmp_path):
    path = tmp_path / "tiger.POMDP"
    text = (DATA / "tiger.POMDP").read_text()
    path.write_text(text)
    env = make(f"pomdp:{path}")
    path.write_text(text.replace("0.85", "0.80").replace("0.15", "0.20"))
    assert make(f"pomdp:{path}") != env
    with pytest.raises(ConfigError, match="not the file that it was"):
        make(f"pomdp:{path}", sha256=env.sha256)
    path.unlink()
    with pytest.raises(ConfigError, match="There is no file"):
        make(f"pomdp:{path}", sha256=env.sha256)


def test_the_reward_of_a_step_is_that_of_what_happened():
    """Against the file's own words, cell by cell: R(a, s, s', o) of the step that was taken."""
    env = make(f"pomdp:{DATA / 'market.POMDP'}")
    model = read_model(DATA / "market.POMDP")
    costs = np.full((3, 2, 2, 3), np.nan)
    costs[0] = [-0.25, -0.25, -0.25]
    costs[0, :, :, 0] = 0.0
    costs[1, 0] = [[-2, -2, -2], [1, 1, 3]]
    costs[1, 1] = [[-1, -1, -4], [9, 9, 9]]
    costs[2, :, 0] = 2.0
    costs[2, :, 1] = [0.0, 0.0, -2.5]
    np.testing.assert_array_equal(np.broadcast_to(model.reward, costs.shape), -costs)
    keys = jax.random.split(jax.random.key(0), 500)
    step = jax.jit(jax.vmap(env.step_env, in_axes=(0, None, None, None)))
    _, start = env.reset(jax.random.key(1))
    for s in range(2):
        for a in range(3):
            state = start._replace(state=jnp.int32(s))
            obs, after, reward, terminated, _ = step(keys, state, jnp.int32(a), env.default_params)
            o = np.asarray(obs).argmax(axis=1) - 1
            np.testing.assert_array_equal(reward, -costs[a, s, np.asarray(after.state), o].astype(np.float32))
            assert not np.asarray(terminated).any()


def test_impossible_outcomes_are_never_drawn():
    """Whatever the uniform number, the first and the last one included."""
    from throughtime.envs.pomdp_file.environment import _draw, _thresholds

    row = np.array([0.0, 0.1, 0.0, 0.2, 0.7, 0.0])
    u = jnp.concatenate([jnp.linspace(0.0, 1.0, 1001), jnp.asarray([np.nextafter(np.float32(1), np.float32(0))])])
    drawn = np.asarray(jax.vmap(lambda x: _draw(x, _thresholds(row)))(u))
    assert set(drawn.tolist()) == {1, 3, 4}
    np.testing.assert_allclose([(drawn == i).mean() for i in (1, 3, 4)], [0.1, 0.2, 0.7], atol=2e-3)


def test_ceilings_of_a_file_are_those_of_the_suite(cache):
    env, suite = make(f"pomdp:{DATA / 'tiger.POMDP'}"), make("tiger")
    assert env.optimal_return == pytest.approx(suite.optimal_return, rel=1e-3)
    assert env.optimal_return <= suite.optimal_return + 1e-4  # it is a lower bound
    assert suite.memoryless_return <= env.memoryless_return < suite.optimal_return  # an upper one


def test_ceilings_are_kept_on_disk(cache, monkeypatch):
    env = make(f"pomdp:{DATA / 'tmaze2.POMDP'}")
    first = env.ceilings
    (file,) = cache.glob("pomdp-*.json")
    monkeypatch.setattr(ceilings, "_SOLVED", {})
    monkeypatch.setattr(ceilings, "solve", None)  # it would fail
    assert env.ceilings == first
    assert json.loads(file.read_text())["optimum"][0] == first.optimum.lower


@pytest.mark.parametrize(
    "damage", ["", "{", '{"version": 0}', '{"version": 1, "optimum": [1, 0, 0, 1], "memoryless": [0, 1, 0, 1]}']
)
def test_a_damaged_cache_is_not_believed(cache, monkeypatch, damage):
    env = make(f"pomdp:{DATA / 'tmaze2.POMDP'}")
    first = env.ceilings
    (file,) = cache.glob("pomdp-*.json")
    file.write_text(damage)
    monkeypatch.setattr(ceilings, "_SOLVED", {})
    assert env.ceilings.optimum.lower == first.optimum.lower


def test_without_a_discount_there_are_no_ceilings(tmp_path):
    path = tmp_path / "endless.POMDP"
    path.write_text((DATA / "tmaze2.POMDP").read_text().replace("discount: 0.9", "discount: 1.0"))
    env = make(f"pomdp:{path}")
    assert env.ceilings is env.optimal_return is env.memoryless_return is None
