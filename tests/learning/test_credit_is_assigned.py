"""Return decomposition has to learn; without memory it must not be used.

The memoryless ceiling: a predictor without memory reads the last differences only. They tell next to nothing of the
return (the events of one step of fifty), so its error stays near 1, the spread of the returns, and redistribution off.
"""

import dataclasses

import numpy as np
import pytest

from throughtime.credit import DecompositionConfig, WatchConfig, Watches
from throughtime.envs import PocketWatch

pytestmark = pytest.mark.slow


def test_the_pocket_watch_is_learned_by_redistribution_and_not_without_memory():
    config = WatchConfig(episodes=1_000)
    watches = Watches(PocketWatch(), config)
    result = watches.run(8)
    assert result.status is not None
    assert result.status.on
    # Values of first actions are means of Σ λ^k r'_k over all episodes, by NumPy.
    assert result.played is not None
    moved = np.asarray(watches.decomposition.rewards(result.state, result.played))
    credit = config.trace ** np.arange(len(moved)) @ moved
    brand, action = np.asarray(result.played.observations[0, :, 3:7]), np.asarray(result.played.actions[0])
    its = np.einsum("nb,na->ban", brand, action)  # [4, 2, N]
    np.testing.assert_allclose(result.values[-1], its @ credit / its.sum(axis=2), rtol=1e-3, atol=1e-3)
    assert result.episodes is not None
    assert result.episodes <= 800
    worth = PocketWatch().action_values()[:, 0]
    assert np.abs(result.values[-1, :, 0] - worth).max() < 2  # of returns whose noise has a deviation of 11

    blind = dataclasses.replace(config, episodes=500, decomposition=DecompositionConfig(memory="none"))
    result = Watches(PocketWatch(), blind).run(3)
    assert result.status is not None
    assert not result.on.any()
    assert result.status.error > 0.8
