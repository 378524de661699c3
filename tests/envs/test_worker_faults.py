"""Environments that raise, hang or die: told by index with a traceback, started anew n times, never a silent hang."""

import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import own_environments as own
import pytest

from throughtime.core import EnvironmentStepError
from throughtime.envs import VectorEnvironment, close_environments, make, release
from throughtime.envs.adapters.gym import seeds_of

B = 4
# Only what hangs is waited for, and long enough for a busy machine to do an honest step.
PATIENCE = {"raise": 60.0, "hang": 4.0, "die": 60.0, "crash": 60.0}
TRACE = {"raise": "the simulator broke", "hang": "time.sleep(60)", "die": "", "crash": "Segmentation fault"}


@pytest.fixture(autouse=True)
def _close():
    yield
    close_environments()


def seeds(key):
    return seeds_of(np.asarray(jax.random.key_data(key)), B)


def one_bad_key():
    """A key whose seeds make one row go bad (multiples of 5), not the first, and none when started anew (seed + 1)."""
    for n in range(1000):
        rest = seeds(jax.random.key(n)) % 5
        bad = rest == 0
        if bad.sum() == 1 and not bad[0] and (rest != 4).all():
            return jax.random.key(n), int(bad.argmax())
    raise AssertionError


def play(env, key, T):
    """Step by step; all VectorSteps, and the state."""
    vector = VectorEnvironment(env, B)
    _, state = vector.reset(key)
    steps = []
    for _ in range(T):
        step = vector.step(key, state, jnp.zeros(B, jnp.int32))
        state = step.state
        steps.append(jax.tree.map(np.asarray, step))
    return steps, state


@pytest.mark.parametrize(
    ("how", "workers"), [("raise", 0), ("hang", 0), ("raise", 2), ("hang", 2), ("die", 2), ("crash", 2)]
)
def test_it_is_reported_started_anew_and_counts_as_truncated(how, workers):
    key, bad = one_bad_key()
    env = make(f"{own.FILE}:Faulty", how=how, workers=workers, timeout=PATIENCE[how], restarts=1)
    with pytest.warns(RuntimeWarning) as caught:
        steps, state = play(env, key, 12)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert f"environment {bad}" in message
    assert "1 of 1 restarts" in message
    if how != "die":  # os._exit leaves nothing behind
        assert TRACE[how] in message if how != "hang" or not workers else "own_environments.py" in message
    # Its fourth step is the one that failed: truncated after the last observation that it gave, which was 3.
    failed = steps[3]
    assert (failed.truncated[bad], failed.terminated[bad], failed.reward[bad]) == (True, False, 0.0)
    assert (failed.final_observation[bad], failed.obs[bad]) == (3.0, 0.0)
    # Whoever shares a worker with one that hangs or dies goes with it; the others go on.
    alone = how == "raise"
    share = [bad] if alone else list(range(B)) if not workers else [bad // 2 * 2, bad // 2 * 2 + 1]
    for row in range(B):
        after = [float(step.obs[row, 0]) for step in steps]
        assert after[3] == (0.0 if row in share else 4.0)
        assert after[4] == (1.0 if row in share else 5.0)
    assert env.error_of(jax.device_get(state)) is None
    release(env, state)


@pytest.mark.parametrize(("how", "workers"), [("raise", 0), ("hang", 0), ("die", 2)])
def test_one_failure_too_many_ends_every_episode_with_nan_and_is_kept(how, workers):
    key, bad = one_bad_key()
    env = make(f"{own.FILE}:Faulty", how=how, workers=workers, timeout=PATIENCE[how], restarts=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        steps, state = play(env, key, 6)
    assert np.isfinite(steps[2].reward).all()
    for step in steps[3:]:
        assert np.isnan(step.reward).all()
        assert step.terminated.all()
    error = env.error_of(jax.device_get(state))
    assert isinstance(error, EnvironmentStepError)
    assert f"environment {bad}" in error.what
    assert "restarts = 0" in error.mend
    if how == "raise":
        assert 'raise RuntimeError("the simulator broke")' in error.why
    release(env, state)


def test_a_worker_that_ends_at_once_is_no_endless_loop():
    env = make(f"{own.FILE}:Faulty", how="die", at=1, every=1, workers=1, restarts=2)
    begin = time.monotonic()
    with pytest.warns(RuntimeWarning) as caught:
        _, state = play(env, jax.random.key(0), 4)
    assert len(caught) == 2
    assert isinstance(env.error_of(jax.device_get(state)), EnvironmentStepError)
    assert time.monotonic() - begin < 120
    release(env, state)


def test_released_and_closed_workers_leave_no_process_behind():
    from throughtime.envs.adapters import gym

    env = make("gym:CartPole-v1", workers=2)
    _, state = VectorEnvironment(env, B).reset(jax.random.key(0))
    processes = [worker._process for worker in gym._sessions[int(state.session[0])]._workers]
    assert [process.poll() for process in processes] == [None, None]
    release(env, state)
    close_environments()
    assert [process.poll() for process in processes] == [0, 0]
