r"""The λ-discrepancy: how far the observation is from being a state, from values alone.

TD(λ) with one value per observation o has the fixed point (Sutton 1988; as a linear system, Boyan 2002)

    v^λ = A^{-1} b,   A = E Σ_t z_t (φ_t − γ (1 − terminated_t) φ_{t+1})ᵀ,   b = E Σ_t z_t r_t,
    z_t = φ_t + γλ z_{t−1},

φ_t being the indicator of o_t. λ = 0 believes that the observation is Markov, λ = 1 (Monte Carlo) believes nothing.
Under a policy that acts on the observation alone, the two agree where observations are states, and for almost every
such policy they disagree where they are not. The λ-discrepancy is their distance,

    Λ = ‖ v^{λ₁} − v^{λ₂} ‖_w,   w(o) the share of steps at which o is seen,   λ₁ = 0, λ₂ = 1.

(The paper compares action values; these are its state values, with the policy's own actions.) A Λ of zero proves
nothing: there are hidden states that no value shows.

Reference: Allen et al. 2024, "Mitigating Partial Observability in Sequential Decision Processes via the Lambda
Discrepancy", arXiv 2407.07333.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from throughtime.envs import Tables
from throughtime.proof.evidence.recording import Recording

MOST_OBSERVATIONS = 200
GROUPS = 20
T_QUANTILE = 2.093  # 97.5%, 19 degrees of freedom
LAMBDAS = (0.0, 1.0)


class Discrepancy(NamedTuple):
    """Λ as estimated from episodes."""

    value: float  # in units of return
    interval: tuple[float, float]
    observations: int  # distinct ones
    discount: float

    @property
    def shown(self) -> bool:
        """Whether the interval lies above zero."""
        return self.interval[0] > 0


def lambda_discrepancy(recording: Recording, discount: float) -> Discrepancy | None:
    """Λ from the episodes of a policy that acted on the observation alone; None where observations do not repeat.

    An estimate of a length is never below zero, noise included; the variance of the values (a jackknife over 20 groups
    of episodes) is therefore taken off its square, and the interval is the jackknife's.

    Args:
        recording: episodes played with `alone=True`; at least 20 of them.
        discount: γ.

    Returns:
        None where there are more than 200 distinct observations (continuous ones), or fewer than 20 episodes.
    """
    alive = np.asarray(recording.alive)
    T, N = alive.shape
    seen = np.stack([recording.observations, recording.successors]).reshape(2 * T * N, -1)
    distinct, index = np.unique(seen.round(6), axis=0, return_inverse=True)
    if len(distinct) > MOST_OBSERVATIONS or N < GROUPS:
        return None
    now, following = index.reshape(2, T, N)
    rewards, terminated = np.asarray(recording.rewards, float), np.asarray(recording.terminated)
    groups = np.arange(N) % GROUPS
    systems = [
        _systems(now, following, rewards, terminated, alive, groups, trace, discount, len(distinct))
        for trace in LAMBDAS
    ]
    visits = np.zeros((GROUPS, len(distinct)))
    np.add.at(visits, (np.broadcast_to(groups, (T, N)), now), alive)
    whole = np.ones(GROUPS)
    kept = np.concatenate([whole[None], whole - np.eye(GROUPS)])  # all groups, then all but one
    differences = np.stack([_difference(systems, weights) for weights in kept])  # [1 + G, O]
    shares = visits.sum(axis=0) / visits.sum()
    squares = (differences**2) @ shares
    variance = _jackknife(differences[1:])
    square = squares[0] - float(shares @ variance)
    half = T_QUANTILE * float(np.sqrt(_jackknife(squares[1:, None])[0]))
    low, value, high = (float(np.sqrt(max(x, 0.0))) for x in (square - half, square, square + half))
    return Discrepancy(value, (low, high), int((visits.sum(axis=0) > 0).sum()), discount)


def exact_lambda_discrepancy(tables: Tables, policy: Float[np.ndarray, "O A"], discount: float, steps: int) -> float:
    """Λ of a finite POMDP under a memoryless policy, from its tables: what the estimate is checked against.

    Args:
        tables: the POMDP.
        policy: π(a | o), rows that sum to 1.
        discount: γ.
        steps: T, after which an episode is truncated.
    """
    S, O = tables.first_observation.shape  # noqa: E741
    # Pairs x = (s, o) are a Markov chain under the policy.
    moves = tables.transition[:, :, :, None] * tables.observation[None]  # [S, A, S', O'] by s, a
    alive = ~tables.terminal
    chain = np.einsum("oa,sa,satp->sotp", policy, alive.astype(float), moves).reshape(S * O, S * O)
    reward = np.einsum("oa,sa->so", policy, tables.reward).reshape(S * O)
    phi = np.tile(np.eye(O), (S, 1))  # [S·O, O]
    starts = [(tables.initial[:, None] * tables.first_observation).reshape(-1)]
    for _ in range(steps - 1):
        starts.append(starts[-1] @ chain)
    values = []
    for trace in LAMBDAS:
        A, b = np.zeros((O, O)), np.zeros(O)
        ahead, ahead_reward = np.zeros((S * O, O)), np.zeros(S * O)
        for weight in reversed(starts):  # what z_t gathers from step t on, backwards
            ahead = phi - discount * chain @ phi + discount * trace * chain @ ahead
            ahead_reward = reward + discount * trace * chain @ ahead_reward
            A += phi.T @ (weight[:, None] * ahead)
            b += phi.T @ (weight * ahead_reward)
        values.append(np.linalg.lstsq(A, b, rcond=None)[0])
    visits = np.sum(starts, axis=0) @ phi
    return float(np.sqrt((values[0] - values[1]) ** 2 @ (visits / visits.sum())))


def _systems(
    now: Int[np.ndarray, "T N"],
    following: Int[np.ndarray, "T N"],
    rewards: Float[np.ndarray, "T N"],
    terminated: Bool[np.ndarray, "T N"],
    alive: Bool[np.ndarray, "T N"],
    groups: Int[np.ndarray, " N"],
    trace: float,
    discount: float,
    O: int,  # noqa: E741
) -> tuple[Float[np.ndarray, "G O O"], Float[np.ndarray, "G O"]]:
    """A and b of LSTD(λ), summed over the episodes of each group."""
    T, N = now.shape
    A, b, z, episodes = np.zeros((GROUPS, O, O)), np.zeros((GROUPS, O)), np.zeros((N, O)), np.arange(N)
    for t in range(T):  # all episodes at once
        z *= discount * trace
        z[episodes, now[t]] += 1.0
        mine = z * alive[t][:, None]
        go_on = np.where(terminated[t], 0.0, discount)
        for g in range(GROUPS):
            rows = groups == g
            np.add.at(A[g].T, now[t, rows], mine[rows])
            np.add.at(A[g].T, following[t, rows], -go_on[rows, None] * mine[rows])
            b[g] += mine[rows].T @ rewards[t, rows]
    return A, b


def _difference(
    systems: list[tuple[Float[np.ndarray, "G O O"], Float[np.ndarray, "G O"]]], weights: Float[np.ndarray, " G"]
) -> Float[np.ndarray, " O"]:
    values = []
    for A, b in systems:
        values.append(np.linalg.lstsq(np.tensordot(weights, A, 1), weights @ b, rcond=None)[0])
    return values[0] - values[1]


def _jackknife(leave_one_out: Float[np.ndarray, "G *rest"]) -> np.ndarray:
    """The variance of an estimate from its values on all groups but one."""
    G = len(leave_one_out)
    return (G - 1) / G * ((leave_one_out - leave_one_out.mean(axis=0)) ** 2).sum(axis=0)
