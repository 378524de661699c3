"""Exact values of small POMDPs, from their tables alone: the oracle of the returns that environments declare.

`optimal_value` walks the belief MDP that is reachable from the first observation. Equal beliefs are merged;
what is reached with a discounted probability below `tiny` is not followed but bounded by the best and the
worst reward for ever, and so the answer is an interval that holds the true value.
"""

import heapq

import numpy as np


def optimal_value(tables, discount, tiny=1e-9, max_beliefs=20_000):
    """The optimal discounted return as an interval (lower, upper)."""
    indices, frontier, reach, edges = {}, [], {}, {}

    def index(belief, probability):
        key = tuple(np.round(belief, 10))
        i = indices.setdefault(key, len(indices))
        if probability > reach.get(i, 0.0):
            reach[i] = probability
            heapq.heappush(frontier, (-probability, i, belief))
        return i

    A = tables.transition.shape[1]
    start = []
    for o in range(tables.first_observation.shape[1]):
        joint = tables.initial * tables.first_observation[:, o]
        if joint.sum() > 0:
            start.append((joint.sum(), index(joint / joint.sum(), joint.sum())))

    while frontier and len(edges) < max_beliefs:  # most reachable first
        probability, i, belief = heapq.heappop(frontier)
        if i in edges or -probability < tiny:
            continue
        edges[i] = []
        for a in range(A):
            goes_on = belief * ~tables.terminal[:, a]
            joint = (goes_on @ tables.transition[:, a])[:, None] * tables.observation[a]  # [S', O]
            successors = []
            for o, p in enumerate(joint.sum(axis=0)):
                if p > 1e-15:
                    successors.append((discount * p, index(joint[:, o] / p, -probability * discount * p)))
            edges[i].append((belief @ tables.reward[:, a], successors))

    n = len(indices)
    followed = np.array(sorted(edges))
    width = max((len(s) for i in edges for _, s in edges[i]), default=0)
    reward, weight = np.zeros((len(followed), A)), np.zeros((len(followed), A, width))
    target = np.zeros((len(followed), A, width), int)
    for row, i in enumerate(followed):
        for a, (r, successors) in enumerate(edges[i]):
            reward[row, a] = r
            for k, (w, j) in enumerate(successors):
                weight[row, a, k], target[row, a, k] = w, j

    def iterate(bound):
        values = np.full(n, bound)
        while True:
            new = (reward + (weight * values[target]).sum(axis=2)).max(axis=1)
            change = np.abs(new - values[followed]).max()
            values[followed] = new
            if change < 1e-9 * (1 - discount):
                return sum(p * values[i] for p, i in start)

    forever = 1.0 / (1.0 - discount)
    # An episode may also terminate, and then earns 0.
    return iterate(min(0.0, tables.reward.min() * forever)), iterate(max(0.0, tables.reward.max() * forever))


def memoryless_values(tables, discount, policies):
    """The exact discounted return of memoryless policies, `[N, O, A]` -> `[N]`, by linear equations."""
    S = tables.transition.shape[0]
    O = tables.observations.shape[0]  # noqa: E741
    start = (tables.initial[:, None] * tables.first_observation).reshape(S * O)
    goes_on = tables.transition * ~tables.terminal[:, :, None]
    # From (s, o) by action a to (s', o').
    step = np.einsum("sat,atq,nxa->nsxtq", goes_on, tables.observation, policies)
    step = step.reshape(len(policies), S * O, S * O)
    reward = np.einsum("sa,nxa->nsx", tables.reward, policies).reshape(len(policies), S * O, 1)
    return (np.linalg.solve(np.eye(S * O) - discount * step, reward)[:, :, 0] * start).sum(axis=1)


def policy_grid(observations, actions, steps):
    """All memoryless policies whose probabilities are multiples of 1/steps: `[N, O, A]`."""
    simplex = [p for p in np.ndindex(*(steps + 1,) * actions) if sum(p) == steps]
    choices = np.array(simplex, float) / steps
    index = np.indices((len(choices),) * observations).reshape(observations, -1).T
    return choices[index]
