"""Action masks of Gymnasium environments, in and out, told in three ways; `Masked` raises where one is ignored."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import own_environments as own
import pytest

from throughtime.core import ConfigError
from throughtime.envs import (
    Box,
    Chunks,
    Discrete,
    MultiDiscrete,
    VectorEnvironment,
    draw_moment,
    make,
    raise_error_of,
    release,
    to_gymnasium,
)
from throughtime.envs.moment import Moment
from throughtime.proof.memcheck import check_environment
from throughtime.reports.watch import Shown, episode_frames
from throughtime.runs import EpisodeRecord

MASKED = f"{own.FILE}:Masked"
B, T = 3, 25


def played(env, choose, steps=T):
    """Observations [T + 1, B, I], final observations and ends [T, B] of actions chosen by `choose(obs)`."""
    vector = VectorEnvironment(env, B)
    obs, state = vector.reset(jax.random.key(0))
    rows, finals, ends = [np.asarray(obs)], [], []
    for _ in range(steps):
        out = vector.step(jax.random.key(0), state, jnp.asarray(choose(rows[-1]), jnp.int32))
        state = out.state
        rows.append(np.asarray(out.obs))
        finals.append(np.asarray(out.final_observation))
        ends.append([np.asarray(out.terminated), np.asarray(out.truncated)])
    error = env.error_of(jax.device_get(state))
    release(env, state)
    return np.stack(rows), np.stack(finals), np.array(ends), error


def last_allowed(env):
    """The allowed action of the greatest number, read from the observations."""
    sizes = [env.action_space.n] if isinstance(env.action_space, Discrete) else env.action_space.sizes

    def choose(obs):
        parts = np.split(obs[:, -sum(sizes) :], np.cumsum(sizes)[:-1], axis=1)
        chosen = np.stack([p.shape[1] - 1 - p[:, ::-1].argmax(1) for p in parts], axis=1)
        return chosen.reshape(B, *env.action_space.shape)

    return choose


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("where", ["info", "observation", "method"])
def test_masks_are_found_and_lie_behind_the_observation(where, workers):
    env = make(MASKED, where=where, workers=workers, restarts=0)
    assert env.action_mask
    assert env.observation_space == Box(0.0, 8.0, (5,))
    assert env.observation_labels == (
        "zoo" if where == "observation" else "observation",
        *(f"may action {i}" for i in range(4)),
    )
    obs, finals, ends, error = played(env, last_allowed(env))
    assert error is None  # it raises where a forbidden action is taken
    assert ends.any(axis=(0, 2)).all()  # both kinds came
    for seen in (obs, finals):  # what is seen is the number of allowed actions
        np.testing.assert_array_equal(seen[..., 0], seen[..., 1:].sum(axis=-1))
        assert set(np.unique(seen[..., 1:])) == {0.0, 1.0}


def test_a_forbidden_action_is_taken_to_the_environment_and_raises_there():
    env = make(MASKED, restarts=0)
    assert "is forbidden" in str(played(env, lambda obs: obs[:, 1:].argmin(axis=1), 1)[3])


def test_several_actions_have_one_mask_side_by_side():
    env = make(MASKED, several=True, restarts=0)
    assert env.action_space == MultiDiscrete((2, 3))
    assert env.observation_labels[1:] == (
        "may action 0 = 0",
        "may action 0 = 1",
        *(f"may action 1 = {i}" for i in range(3)),
    )
    obs, _, _, error = played(env, last_allowed(env))
    assert error is None
    np.testing.assert_array_equal(obs[..., 0], obs[..., 1:].sum(axis=-1))


def test_a_mask_may_be_missing_where_no_action_is_asked_for():
    env = make(MASKED, how="gone at the end", restarts=0)
    _, finals, ends, error = played(env, last_allowed(env))
    assert error is None
    assert (finals[ends[:, 0]][:, 1:] == 1.0).all()


def test_they_can_be_left_alone():
    assert not make(MASKED, masks="none").action_mask
    assert not make("gym:CartPole-v1").action_mask
    assert make("gym:Taxi-v4").action_mask  # Gymnasium's own, in its info


@pytest.mark.parametrize(
    ("options", "what", "mend"),
    [
        ({"how": "short"}, "the action mask has 3 entries, the actions have 4", "one entry for each"),
        ({"where": "method", "how": "short"}, "the action mask has 3 entries", "one entry for each"),
        ({"masks": "method"}, "masks = 'method', and there is none", "leave the option out"),
        ({"masks": "infos"}, "masks = 'infos' is impossible", "Did you mean 'info'"),
        ({"hide": "1"}, "hide = '1' is impossible", "--env.hide"),
        ({"hide": "0"}, "hide = '0' is impossible", "--env.hide"),
        ({"hide": "x"}, "hide = 'x' is impossible", "--env.hide"),
        ({"hide": "9", "where": "observation"}, "hide = '9' is impossible", "--env.hide"),
    ],
)
def test_mistakes_are_told_at_once(options, what, mend):
    with pytest.raises(ConfigError) as error:
        make(MASKED, **options)
    assert what in error.value.what
    assert mend in error.value.mend
    assert "hide" not in options or "action_mask" not in error.value.why  # places are those of what is seen


@pytest.mark.parametrize(
    ("how", "several", "what"),
    [("empty", False, "allows no action"), ("empty", True, "allows no action"), ("gone", False, "gave no action mask")],
)
def test_mistakes_later_on_are_told_with_the_environments_index(how, several, what):
    env = make(MASKED, how=how, several=several, restarts=0)
    error = str(played(env, last_allowed(env), 4)[3])
    assert what in error
    assert "environment " in error


def test_continuous_actions_have_no_masks():
    with pytest.raises(ConfigError, match="continuous"):
        make("gym:Pendulum-v1", masks="info")


@pytest.mark.parametrize(
    ("name", "hide", "shown"), [("gym:CartPole-v1", "1, 3", [0, 2]), ("gym:LunarLander-v3", "2,3,5", [0, 1, 4, 6, 7])]
)
def test_hidden_numbers_are_left_out(name, hide, shown):
    """sb3's NoVel: the same steps without the velocities."""
    if "Lander" in name:
        pytest.importorskip("Box2D")
    whole, hidden = make(name), make(name, hide=hide)
    assert hidden.observation_labels == tuple(f"observation {i}" for i in shown)
    for full, part in zip(*(played(env, lambda obs: np.zeros(B))[:2] for env in (whole, hidden)), strict=True):
        np.testing.assert_array_equal(full[..., shown], part)


def test_nothing_that_a_mission_is_read_from_can_be_hidden():
    pytest.importorskip("minigrid")
    whole = make("minigrid:BabyAI-GoToLocal-v0")
    with pytest.raises(ConfigError, match="hide takes numbers out of the mission"):
        make(whole.name, hide="512")  # the first of the cells
    behind = make(whole.name, hide="1492 1493 1494 1495")  # the direction
    assert behind.observation_space.shape == (1492,)
    assert behind.instruction_layout == whole.instruction_layout


def test_python_environments_have_no_chunks_of_actions():
    with pytest.raises(ConfigError, match="has no chunks of actions"):
        Chunks(make("gym:CartPole-v1"), 2)


def test_to_gymnasium_tells_masks_in_sb3_contribs_way():
    inner = make(MASKED)
    env = to_gymnasium(inner)
    obs, info = env.reset(seed=0)
    for _ in range(6):
        np.testing.assert_array_equal(env.action_masks(), obs[1:] == 1)
        np.testing.assert_array_equal(info["action_mask"], obs[1:])
        assert info["action_mask"].dtype == np.int8  # as `Discrete.sample(mask)` wants it
        obs, _, terminated, truncated, info = env.step(env.action_space.sample(info["action_mask"]))
        if terminated or truncated:
            break
    raise_error_of(inner, env._state)
    batch = to_gymnasium(make(MASKED), num_envs=2)
    obs, info = batch.reset(seed=0)
    np.testing.assert_array_equal(batch.action_masks(), obs[:, 1:] == 1)
    np.testing.assert_array_equal(info["action_mask"], obs[:, 1:])
    assert not hasattr(to_gymnasium(make("t-maze")), "action_masks")
    assert isinstance(env, gymnasium.Env)


@pytest.mark.parametrize("options", [{}, {"where": "observation"}, {"where": "method", "several": True}, {"where": ""}])
def test_memcheck_takes_allowed_actions(options):
    findings = check_environment(lambda: own.Masked(**options), steps=100)
    assert bool(findings.broken) == (options == {"where": ""})  # where nothing tells what is forbidden, it raises


def test_a_step_is_drawn_with_what_is_allowed():
    env = make(MASKED)
    moment = Moment(0, None, np.array([2.0, 0, 1, 1, 0], np.float32), np.int32(1), 1.0)
    text = draw_moment(env, moment).text
    assert "sees    observation = 2\nmay     action 1, action 2\ndoes    action 1" in text


@pytest.mark.parametrize("several", [False, True])
def test_films_leave_the_mask_out_where_probabilities_tell_it(several):
    env, zeros = make(MASKED, several=several), np.zeros(1, np.float32)
    seen = np.array([[2, 0, 1, 1, 0, 1] if several else [2, 0, 1, 1, 0]], np.float32)
    actions, chances = (np.array([[1, 0]]), None) if several else (np.array([1]), np.array([[0, 0.5, 0.5, 0]]))
    record = EpisodeRecord(seen, actions, chances, zeros, zeros, None, None, True, False, 0.0)
    (frame,) = episode_frames(record, env, Shown("masked", 1, 1))
    text = "\n".join("".join(span.text for span in line) for line in frame)
    assert "observation" in text
    assert ("may action" in text) == several
