"""Tiger's declared returns, from its own tables by an exact solver."""

import numpy as np
import pytest
from pomdp_solver import memoryless_values, optimal_value, policy_grid

from throughtime.envs import make


@pytest.mark.parametrize(("name", "published"), [("tiger", 19.3714), ("tiger-ends-on-open", 3.7702)])
def test_the_optimum_is_exact(name, published):
    env = make(name)
    lower, upper = optimal_value(env.tables(), env.discount)
    assert upper - lower < 1e-4
    assert env.optimal_return == pytest.approx(lower, abs=1e-4)
    assert lower == pytest.approx(published, abs=1e-3)  # SARSOP's log has 19.3711 to 19.3721


@pytest.mark.parametrize("name", ["tiger", "tiger-ends-on-open"])
def test_no_memoryless_policy_is_better_than_declared(name):
    env = make(name)
    values = memoryless_values(env.tables(), env.discount, policy_grid(3, 3, 5))
    np.testing.assert_allclose(values.max(), env.memoryless_return, atol=1e-9)
