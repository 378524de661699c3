"""Actions in chunks: what a chunk does, and where there can be none."""

import jax
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.envs import Chunks, TMaze, make

pytestmark = pytest.mark.usefixtures("quick_compiler")
KEY = jax.random.key(0)


def test_a_chunk_is_its_actions_one_after_the_other():
    """Also over the end of an episode; the planner's chunks come as far as its steps."""
    env = make("instructions")
    chunks = Chunks(env, 3)
    _, state = jax.jit(chunks.reset)(jax.random.key(1))
    step, chunk, plan = jax.jit(env.step_env), jax.jit(chunks.step_env), jax.jit(chunks.expert)
    params, one = env.default_params, jax.jit(env.expert)
    for _ in range(30):
        actions = plan(state)
        single, total, ended = state, 0.0, False
        for action in actions:
            assert int(one(single)) == int(action)
            obs, single, reward, ended, _ = step(KEY, single, action, params)
            total += float(reward)
            if ended:
                break
        seen, state, reward, terminated, _ = chunk(KEY, state, actions, params)
        for a, b in zip(jax.tree.leaves((obs, single)), jax.tree.leaves((seen, state)), strict=True):
            np.testing.assert_array_equal(a, b)
        assert (total, bool(ended)) == (float(reward), bool(terminated))
        if ended:
            break
    assert ended
    assert total == 1


class Masked(TMaze):
    """Says at the end of its observation which of its actions are allowed."""

    action_mask = True


def test_where_there_are_no_chunks():
    with pytest.raises(ConfigError, match="one choice each"):
        Chunks(make("pendulum"), 2)
    with pytest.raises(ConfigError, match="score is discounted"):
        Chunks(make("tiger"), 2)
    with pytest.raises(ConfigError, match="without its action mask"):  # whose one mask would be read as two
        Chunks(Masked(), 2)
