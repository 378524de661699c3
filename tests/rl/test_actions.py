import jax
import jax.numpy as jnp
import numpy as np

from throughtime.envs import Box, Discrete, MultiDiscrete
from throughtime.rl import action_features, action_width, random_actions


def test_actions_become_numbers():
    np.testing.assert_array_equal(action_features(Discrete(3), jnp.array([2, 0], jnp.int32)), [[0, 0, 1], [1, 0, 0]])
    pairs = action_features(MultiDiscrete((2, 3)), jnp.array([[1, 2]], jnp.int32))
    np.testing.assert_array_equal(pairs, [[0, 1, 0, 0, 1]])
    np.testing.assert_allclose(action_features(Box(-1.0, 3.0, (2,)), jnp.array([[-1.0, 2.0]])), [[-1.0, 0.5]])


def test_random_actions_cover_their_space():
    for space in (Discrete(3), MultiDiscrete((2, 3)), Box(-1.0, 3.0, (2,))):
        actions = random_actions(space, jax.random.key(0), (200, 5))
        assert actions.shape == (200, 5, *space.shape)
        assert action_features(space, actions).shape[-1] == action_width(space)
        largest = actions.reshape(-1, *space.shape).max(axis=0)
        smallest = actions.reshape(-1, *space.shape).min(axis=0)
        if isinstance(space, Box):
            assert np.all(largest > 2.9)
            assert np.all(smallest < -0.9)
        else:
            top = np.asarray(space.n if isinstance(space, Discrete) else space.sizes) - 1
            np.testing.assert_array_equal(largest, top)
            np.testing.assert_array_equal(smallest, 0)
