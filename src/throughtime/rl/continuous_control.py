"""What actor-critics for continuous actions learn from: the losses of SAC and TD3, pure functions on arrays.

Everywhere `q` holds the twin critics' values side by side, `[2, ...]`.

References: Haarnoja et al. 2018, "Soft actor-critic algorithms and applications" (SAC, arXiv 1812.05905); Fujimoto, van
Hoof & Meger 2018, "Addressing function approximation error in actor-critic methods" (TD3, arXiv 1802.09477). Beside
them the noise that both may explore with.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

Params = TypeVar("Params", bound=PyTree)


def soft_value(
    q: Float[Array, "2 *batch"], log_probs: Float[Array, "*batch"], temperature: Float[Array, ""]
) -> Float[Array, "*batch"]:
    """V = min_i Q_i(a) − α log π(a), an estimate from one action; α = 0 gives clipped double Q-learning's (TD3).

    Reference: SAC, equation 3; the smaller of two critics: TD3, section 4.2.

    Args:
        q: both critics' values of a ~ π.
        log_probs: log π(a).
        temperature: α.
    """
    return jnp.min(q, axis=0) - temperature * log_probs


def twin_critic_loss(q: Float[Array, "2 *batch"], targets: Float[Array, "*batch"]) -> Float[Array, ""]:
    """Σ_i ½ mean (Q_i − y)²; no gradient reaches the targets. SAC, equation 5.

    Args:
        q: both critics' values of the actions that were taken.
        targets: y, `n_step_targets` of the successors' values.
    """
    errors = q - jax.lax.stop_gradient(targets)[None]
    return 0.5 * jnp.sum(jnp.mean(jnp.square(errors), axis=tuple(range(1, errors.ndim))))


def soft_policy_loss(
    q: Float[Array, "2 *batch"], log_probs: Float[Array, "*batch"], temperature: Float[Array, ""]
) -> Float[Array, ""]:
    """Mean (α log π(a) − min_i Q_i(a)): SAC, equation 9, with actions a that depend on the policy's parameters."""
    return -jnp.mean(soft_value(q, log_probs, temperature))


def temperature_loss(
    log_temperature: Float[Array, ""], log_probs: Float[Array, "*batch"], target_entropy: float
) -> Float[Array, ""]:
    """Mean α (−log π(a) − H̄), which raises α where the policy's entropy is below H̄: SAC, equation 18.

    Args:
        log_temperature: log α.
        log_probs: log π(a) of the policy's own actions; no gradient reaches them.
        target_entropy: H̄ in nats, of actions in units where the range is [-1, 1].
    """
    gap = -jax.lax.stop_gradient(log_probs) - target_entropy
    return jnp.exp(log_temperature) * jnp.mean(gap)


def deterministic_policy_loss(q: Float[Array, "2 *batch"]) -> Float[Array, ""]:
    """−mean Q_1(μ): the deterministic policy gradient by the first critic alone. TD3, algorithm 1."""
    return -jnp.mean(q[0])


def smoothed_actions(
    actions: Float[Array, "*batch A"], noise: Float[Array, "*batch A"], *, std: float, limit: float
) -> Float[Array, "*batch A"]:
    """clip(μ + clip(σ ε, ±c), ±1): the target policy's actions, smoothed. TD3, equation 14.

    Args:
        actions: μ in [-1, 1].
        noise: ε, standard normal.
        std: σ.
        limit: c.
    """
    return jnp.clip(actions + jnp.clip(std * noise, -limit, limit), -1.0, 1.0)


def correlated_noise(
    before: Float[Array, "B A"], fresh: Float[Array, "T B A"], correlation: float
) -> Float[Array, "T B A"]:
    """x_t = φ x_{t−1} + √(1 − φ²) ε_t: an Ornstein-Uhlenbeck process seen at whole steps, of variance 1 at each.

    Exploration that pushes one way for about 1/(1 − φ) steps gets further than white noise of the same size where
    effort has to add up. Reference: Lillicrap et al. 2016, "Continuous control with deep reinforcement learning" (arXiv
    1509.02971), section 7, whose θ is 1 − φ; scaled to variance 1, so that φ does not change how large actions are.

    Args:
        before: x before the first step, standard normal at the very start.
        fresh: ε, standard normal.
        correlation: φ in [0, 1); 0 gives ε.
    """

    def step(x: Array, noise: Array) -> tuple[Array, Array]:
        x = correlation * x + (1.0 - correlation**2) ** 0.5 * noise
        return x, x

    return jax.lax.scan(step, before, fresh)[1]


def polyak(target: Params, online: Params, rate: float) -> Params:
    """(1 − τ) θ̄ + τ θ, leaf by leaf: a target network that follows slowly.

    Args:
        target: θ̄.
        online: θ, a tree of the same structure.
        rate: τ in [0, 1]; 1 copies.
    """
    return jax.tree.map(lambda slow, fast: (1.0 - rate) * slow + rate * fast, target, online)
