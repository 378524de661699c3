"""The oracle itself, against values worked out by hand and against a history tree."""

import numpy as np
import pytest
from pomdp_solver import memoryless_values, optimal_value, policy_grid

from throughtime.envs import Tables


def peek_and_guess(accuracy, cost):
    """A hidden coin. Action 0 peeks (at a cost, right with `accuracy`), 1 and 2 guess and end it (±1)."""
    seen = np.array([[accuracy, 1 - accuracy, 0.0], [1 - accuracy, accuracy, 0.0]])
    blank = np.array([[0.0, 0.0, 1.0]] * 2)
    return Tables(
        initial=np.full(2, 0.5),
        transition=np.stack([np.eye(2)] * 3, axis=1),
        observation=np.stack([seen, blank, blank]),
        reward=np.array([[-cost, 1.0, -1.0], [-cost, -1.0, 1.0]]),
        terminal=np.array([[False, True, True]] * 2),
        first_observation=blank,
        observations=np.eye(3),
    )


def test_one_perfect_peek_by_hand():
    # Peek for 0.1, then guess right after one step of discount: −0.1 + 0.9·1.
    lower, upper = optimal_value(peek_and_guess(1.0, 0.1), 0.9)
    np.testing.assert_allclose([lower, upper], 0.8, atol=1e-8)


def test_a_peek_too_dear_is_not_bought():
    lower, upper = optimal_value(peek_and_guess(1.0, 2.0), 0.9)  # guess blindly: 0
    np.testing.assert_allclose([lower, upper], 0.0, atol=1e-8)


def test_two_noisy_peeks_by_hand():
    # Accuracy 3/4, discount 1/2, cost 1/100. One peek, then a guess that earns |2b − 1| = 1/2:
    # −0.01 + 0.5·0.5 = 0.24. A second peek leads from b = 3/4 to 9/10 (p = 5/8) or 1/2 (p = 3/8):
    # −0.01 + 0.5·(5/8·0.8 + 3/8·0.24) < 1/2, so guess.
    lower, upper = optimal_value(peek_and_guess(0.75, 0.01), 0.5)
    np.testing.assert_allclose([lower, upper], 0.24, atol=1e-8)


def test_an_mdp_in_full_view_by_hand():
    # Two rooms, seen. Action 0 stays, 1 moves; staying in room 1 pays 1. From room 0: 0.8·1/(1 − 0.8) = 4.
    tables = Tables(
        initial=np.array([1.0, 0.0]),
        transition=np.stack([np.eye(2), np.eye(2)[::-1]], axis=1),
        observation=np.stack([np.eye(2)] * 2),
        reward=np.array([[0.0, 0.0], [1.0, 0.0]]),
        terminal=np.zeros((2, 2), bool),
        first_observation=np.eye(2),
        observations=np.eye(2),
    )
    np.testing.assert_allclose(optimal_value(tables, 0.8), 4.0, atol=1e-8)
    # In full view the best memoryless policy is as good.
    np.testing.assert_allclose(memoryless_values(tables, 0.8, policy_grid(2, 2, 1)).max(), 4.0)


@pytest.mark.parametrize("seed", range(3))
def test_random_pomdps_against_the_tree_of_all_histories(seed):
    rng = np.random.default_rng(seed)
    S, A, O, discount, depth = 3, 2, 2, 0.3, 8  # noqa: E741
    tables = Tables(
        initial=rng.dirichlet(np.ones(S)),
        transition=rng.dirichlet(np.ones(S), (S, A)),
        observation=rng.dirichlet(np.ones(O), (A, S)),
        reward=rng.normal(size=(S, A)),
        terminal=rng.random((S, A)) < 0.2,
        first_observation=rng.dirichlet(np.ones(O), S),
        observations=np.eye(O),
    )

    # Level t holds every history's unnormalised belief, [(O A)^t O, S]; then expectimax from the leaves.
    levels = [(tables.initial[:, None] * tables.first_observation).T]
    for _ in range(depth):
        joint = np.einsum("ns,sa,sat,ato->naot", levels[-1], ~tables.terminal, tables.transition, tables.observation)
        levels.append(joint.reshape(-1, S))
    value = np.zeros(len(levels[-1]))
    for beliefs in reversed(levels[:-1]):
        value = (beliefs @ tables.reward + discount * value.reshape(-1, A, O).sum(axis=2)).max(axis=1)

    lower, upper = optimal_value(tables, discount, tiny=1e-7)
    assert 0 <= upper - lower < 1e-3
    tail = discount**depth * np.abs(tables.reward).max() / (1 - discount)
    assert lower - tail <= value.sum() <= upper + tail
    assert tail < 1e-3
