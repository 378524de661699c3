"""Laws of redistribution, for any predictions and any memory: the return stays, and nothing behind the end counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.credit import Episodes, ReturnPredictor, differences, redistribute
from throughtime.memory import make_memory

pytestmark = pytest.mark.usefixtures("quick_compiler")

T, N, F, A = 6, 5, 3, 2
LENGTHS = [6, 1, 4, 2, 5]


def sample(seed=0, behind=np.nan):
    """Random episodes of all kinds of lengths; `behind` lies behind their ends."""
    rng = np.random.default_rng(seed)
    observations, actions = rng.normal(size=(T + 1, N, F)), rng.normal(size=(T, N, A))
    rewards = rng.normal(size=(T, N)) * 10
    for n, L in enumerate(LENGTHS):
        observations[L + 1 :, n] = actions[L:, n] = rewards[L:, n] = behind
    arrays = (jnp.asarray(x, jnp.float32) for x in (observations, actions, rewards))
    return Episodes(*arrays, jnp.asarray(LENGTHS, jnp.int32))


def by_hand(episodes, predictions, correction):
    """The equations, one episode at a time, in float64."""
    moved = np.zeros((T, N))
    for n, L in enumerate(LENGTHS):
        g = np.asarray(predictions, float)[: L + 1, n]
        for t in range(L):
            moved[t, n] = g[t] - (g[t - 1] if t else 0.0)
        moved[L - 1, n] += g[L] - g[L - 1]
        lacks = float(np.asarray(episodes.rewards, float)[:L, n].sum()) - g[L]
        if correction == "uniform":
            moved[:L, n] += lacks / L
        else:
            moved[L - 1, n] += lacks
    return moved


@pytest.mark.parametrize("correction", ["uniform", "last"])
def test_it_is_the_differences_of_predictions_and_sums_to_the_return(correction):
    episodes = sample()
    predictions = jnp.asarray(np.random.default_rng(1).normal(size=(T + 1, N)) * 20, jnp.float32)
    for n, L in enumerate(LENGTHS):
        predictions = predictions.at[L + 1 :, n].set(jnp.nan)  # not read
    moved = redistribute(episodes, predictions, correction)
    np.testing.assert_allclose(moved, by_hand(episodes, predictions, correction), rtol=1e-5, atol=1e-4)
    returns = [float(np.asarray(episodes.rewards, float)[:L, n].sum()) for n, L in enumerate(LENGTHS)]
    np.testing.assert_allclose(np.asarray(moved, float).sum(axis=0), returns, rtol=1e-5, atol=1e-4)


def test_an_unknown_correction_is_refused():
    with pytest.raises(ConfigError, match="uniform"):
        redistribute(sample(), jnp.zeros((T + 1, N)), "unifrom")  # pyright: ignore[reportArgumentType]


def test_differences_add_up_to_what_was_seen():
    episodes = sample()
    read = np.asarray(differences(episodes))
    assert np.isfinite(read).all()
    for n, L in enumerate(LENGTHS):
        np.testing.assert_allclose(
            read[: L + 1, n, :F].cumsum(axis=0), episodes.observations[: L + 1, n], rtol=1e-5, atol=1e-5
        )
        np.testing.assert_array_equal(read[:L, n, F:], episodes.actions[:L, n])
        assert not read[L, n, F:].any()
        assert not read[L + 1 :, n].any()


@pytest.mark.parametrize("name", ["lstm", "gru", "mingru", "none"])
def test_any_memory_predicts_causally_and_reads_nothing_behind_the_end(name):
    key = jax.random.key(0)
    episodes = sample()
    predictor = ReturnPredictor(make_memory(name, F + A, 4, key=key), key).scaled_by(episodes)
    predictions = np.asarray(predictor(episodes))
    assert np.isfinite(predictions).all()
    np.testing.assert_array_equal(predictions, predictor(sample(behind=1e6)))
    for n, L in enumerate(LENGTHS):
        np.testing.assert_array_equal(predictions[L:, n], predictions[L, n])
    # What happens from step 3 on changes no prediction before.
    later = episodes._replace(
        observations=episodes.observations.at[3:].add(1.0), actions=episodes.actions.at[3:].add(1.0)
    )
    changed = np.asarray(predictor(later))
    np.testing.assert_array_equal(changed[:3], predictions[:3])
    assert (changed[3, [0, 2, 4]] != predictions[3, [0, 2, 4]]).all()


def test_the_loss_is_the_error_at_the_end_and_on_the_way():
    key = jax.random.key(1)
    episodes = sample()
    predictor = ReturnPredictor(make_memory("gru", F + A, 4, key=key), key).scaled_by(episodes)
    scaled, scale = np.asarray(predictor.scaled(episodes), float), float(predictor.return_scale)
    returns = np.array([np.asarray(episodes.rewards, float)[:L, n].sum() for n, L in enumerate(LENGTHS)])
    assert scale == pytest.approx(returns.std(), rel=1e-5)
    weights = np.array([0.5, 2.0, 1.0, 0.0, 1.5])
    expected = 0.0
    for n, L in enumerate(LENGTHS):
        squares = (scaled[: L + 1, n] - returns[n] / scale) ** 2
        expected += weights[n] * (squares[-1] + 0.3 * squares.mean()) / N
    loss = predictor.loss(episodes, jnp.asarray(weights, jnp.float32), 0.3)
    assert float(loss.total) == pytest.approx(expected, rel=1e-4)
    gradient = jax.grad(lambda p: p.loss(episodes, jnp.ones(N), 0.3).total)(predictor)
    assert float(jnp.abs(gradient.return_scale)) == 0.0
    assert float(jnp.abs(gradient.input_scale).max()) == 0.0
    assert np.isfinite(np.asarray(gradient.readout.weight_hy)).all()
    assert float(jnp.abs(gradient.readout.weight_hy).max()) > 0


def test_below_one_the_targets_on_the_way_are_lambda_returns():
    """By the forward view: (1 − λ) Σ_k λ^{k−1} ĝ_{t+k}, and what is left of the weight on the return."""
    keys = jax.random.split(jax.random.key(2))
    episodes = sample()
    mine, other = (ReturnPredictor(make_memory("gru", F + A, 4, key=k), k).scaled_by(episodes) for k in keys)
    scaled, bootstrap = np.asarray(mine.scaled(episodes), float), np.asarray(other.scaled(episodes), float)
    trace, expected = 0.7, 0.0
    for n, L in enumerate(LENGTHS):
        G = float(np.asarray(episodes.rewards, float)[:L, n].sum()) / float(mine.return_scale)
        squares = [(scaled[L, n] - G) ** 2]
        for t in range(L):
            ahead = [*bootstrap[t + 1 : L, n], G]
            parts = [(1 - trace) * trace**k * g for k, g in enumerate(ahead)]
            target = sum(parts) + trace ** len(ahead) * G
            squares.append((scaled[t, n] - target) ** 2)
        expected += (squares[0] + 0.3 * np.mean(squares)) / N
    total = jax.jit(lambda a, b: a.loss(episodes, jnp.ones(N), 0.3, trace, b).total)
    assert float(total(mine, other)) == pytest.approx(expected, rel=1e-4)
    gradient = jax.grad(lambda b: mine.loss(episodes, jnp.ones(N), 0.3, trace, b).total)(other)
    assert all(not np.asarray(x).any() for x in jax.tree.leaves(gradient))
