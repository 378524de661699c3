"""What value-based agents learn towards: n-step double-Q targets on sequences, with value rescaling."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def rescale(x: Float[Array, "*shape"], epsilon: float = 1e-3) -> Float[Array, "*shape"]:
    """h(x) = sign(x)·(√(|x| + 1) − 1) + ε·x: squeezes large values, and can be inverted.

    Reference: Pohlen et al. 2018, "Observe and look further" (arXiv 1805.11593), proposition A.2.
    """
    return jnp.sign(x) * (jnp.sqrt(jnp.abs(x) + 1.0) - 1.0) + epsilon * x


def unscale(x: Float[Array, "*shape"], epsilon: float = 1e-3) -> Float[Array, "*shape"]:
    """h⁻¹(x), the inverse of `rescale`."""
    # (√(1 + 4εy) − 1) / 2ε with y = |x| + 1 + ε, written without the difference that rounding would spoil.
    y = jnp.abs(x) + 1.0 + epsilon
    return jnp.sign(x) * (jnp.square(2.0 * y / (jnp.sqrt(1.0 + 4.0 * epsilon * y) + 1.0)) - 1.0)


def double_q_values(
    online: Float[Array, "*batch A"], target: Float[Array, "*batch A"]
) -> tuple[Float[Array, "*batch"], Int[Array, "*batch"]]:
    """Q_target(x, argmax_a Q_online(x, a)), and that action: the choice and its value come from two networks.

    Reference: van Hasselt, Guez & Silver 2016, "Deep reinforcement learning with double Q-learning", equation 4.
    """
    action = jnp.argmax(online, axis=-1)
    return jnp.take_along_axis(target, action[..., None], axis=-1)[..., 0], action


def n_step_targets(
    rewards: Float[Array, "T B"],
    next_values: Float[Array, "T B"],
    terminated: Bool[Array, "T B"],
    truncated: Bool[Array, "T B"],
    *,
    discount: float,
    n: int,
) -> Float[Array, "T B"]:
    """G_t = Σ_{k<m} γ^k r_{t+k} + γ^m (1 − terminated_{t+m−1}) V(next_{t+m−1}).

    m is n, or fewer where the episode or the sequence ends before: m = 1 + the steps from t to the first that
    terminated or was truncated, or to T − 1. Computed as G¹_t = r_t + γ (1 − terminated_t) V(next_t), then n − 1 times
    G^{j+1}_t = r_t + γ G^j_{t+1} wherever step t neither ended its episode nor is the last.

    Args:
        rewards: r_t, `[T, B]`.
        next_values: the value of each step's true successor: of the final observation where the episode was truncated.
            May be anything, even NaN, where `terminated`.
        terminated: the step ended the episode for good; counts where both are true.
        truncated: a time limit cut the episode after this step.
        discount: γ in [0, 1].
        n: steps of reward before the bootstrap, at least 1.
    """
    one = rewards + discount * jnp.where(terminated, 0.0, next_values)
    last = jnp.arange(len(rewards)) == len(rewards) - 1
    stop = terminated | truncated | last[:, None]
    targets = one
    for _ in range(min(n, len(rewards)) - 1):
        following = jnp.concatenate([targets[1:], targets[-1:]])
        targets = jnp.where(stop, one, rewards + discount * following)
    return targets


def sequence_priority(
    errors: Float[Array, "T N"], mask: Bool[Array, "T N"], *, mixture: float = 0.9
) -> Float[Array, " N"]:
    """η·max_t |δ_t| + (1 − η)·mean_t |δ_t| over the steps that count.

    Reference: Kapturowski et al. 2019 (R2D2), section 2.3.

    Args:
        errors: δ, temporal-difference errors, `[T, N]`.
        mask: the steps that count; 0 for a sequence without any.
        mixture: η in [0, 1].
    """
    size = jnp.where(mask, jnp.abs(errors), 0.0)
    mean = jnp.sum(size, axis=0) / jnp.maximum(jnp.sum(mask, axis=0, dtype=size.dtype), 1.0)
    return mixture * jnp.max(size, axis=0, initial=0.0) + (1.0 - mixture) * mean
