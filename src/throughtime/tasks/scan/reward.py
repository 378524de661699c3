"""Learning from execution alone: what the world pays for, and the policy gradient on it."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from throughtime.memory.architectures import PAD, counted
from throughtime.tasks.scan.data import Commands, one_hot

LEVELS = (1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 48)
"""The most actions of an instruction, level by level."""


def curriculum(longest: int) -> tuple[int, ...]:
    """The levels up to the first that allows the longest instruction."""
    return tuple(level for i, level in enumerate(LEVELS) if i == 0 or LEVELS[i - 1] < longest)


def draw_level(train: Commands, levels: tuple[int, ...], size: int, key: PRNGKeyArray) -> Commands:
    """`size` instructions for each level, leaves `[L, size, ...]`: half of them new there, half of all so far."""
    key_half, key_rows = jax.random.split(key)
    steps = jnp.sum(train.actions != PAD, axis=1, dtype=jnp.int32) - 1
    ends = jnp.searchsorted(steps, jnp.asarray(levels, jnp.int32), side="right")
    new = jnp.concatenate([jnp.zeros_like(ends[:1]), ends[:-1]])
    new = jnp.where(new == ends, 0, new)  # a level without instructions of its own draws from all before it
    begins = jnp.where(jax.random.bernoulli(key_half, 0.5, (len(levels), size)), new[:, None], 0)
    rows = jax.random.randint(key_rows, begins.shape, begins, jnp.broadcast_to(ends[:, None], begins.shape))
    return jax.tree.map(lambda a: a[rows], train)


def share_right(said: Int[Array, "T B"], actions: Int[Array, "T B"]) -> Float[Array, " B"]:
    """What an episode earns: the share of the asked steps that are done before the first one that is wrong.

    The world pays 1/n for each of n steps that is what the instruction asks for, the EOS being the last of them, and
    ends the episode at the first that is not.

    Args:
        said: what was done; EOS where it stopped.
        actions: what was asked for.
    """
    asked = counted(actions)
    return jnp.sum(_done(said, actions), axis=0).astype(jnp.float32) / jnp.sum(asked, axis=0).astype(jnp.float32)


def policy_gradient_loss(
    model: Any, commands: Commands, key: PRNGKeyArray, *, entropy: float, discount: float = 0.5
) -> Float[Array, ""]:
    r"""The surrogate whose gradient is that of REINFORCE, on one episode for each instruction.

        r_t = 1 where all steps up to t are right, else 0       G_t = Σ_{k≥t} γ^{k−t} r_k
        L = −mean over steps acted of (G_t − b_t) log p(a_t) + β H_t

    b_t is the mean G_t of the other episodes that came to step t. An episode ends with its first wrong step: what the
    policy would have said after it is neither rewarded nor learned from.

    Args:
        model: the policy.
        commands: instructions `[B, ...]`; of their actions no more is used than which steps are right.
        key: to draw the actions.
        entropy: β.
        discount: γ. What a step is worth shows at once, so that most of what comes later is noise to it.

    Reference: Williams 1992, "Simple statistical gradient-following algorithms", Machine Learning 8.
    """
    xs, asked = one_hot(commands), commands.actions.T
    fixed = jax.tree.map(lambda a: jax.lax.stop_gradient(a) if eqx.is_inexact_array(a) else a, model)
    said = fixed.generate(xs, commands.lengths, asked.shape[0], key=key).tokens
    log_p = jax.nn.log_softmax(model(xs, commands.lengths, said))
    possible = jnp.isfinite(log_p)
    log_p = jnp.where(possible, log_p, 0.0)
    chosen = jnp.sum(jnp.where(jax.nn.one_hot(said, log_p.shape[-1], dtype=bool), log_p, 0.0), axis=-1)
    spread = -jnp.sum(jnp.where(possible, jnp.exp(log_p) * log_p, 0.0), axis=-1)

    right = _done(said, asked)
    acted = counted(asked) & jnp.concatenate([jnp.ones_like(right[:1]), right[:-1]])
    weight, reward = acted.astype(jnp.float32), right.astype(jnp.float32)

    def earlier(later, reward):
        later = reward + discount * later
        return later, later

    _, returns = jax.lax.scan(earlier, jnp.zeros_like(reward[0]), reward, reverse=True)
    total, number = jnp.sum(returns, axis=1, keepdims=True), jnp.sum(weight, axis=1, keepdims=True)
    baseline = (total - returns) / jnp.maximum(number - weight, 1.0)
    each = (returns - baseline) * chosen + entropy * spread
    return -jnp.sum(jnp.where(acted, each, 0.0)) / jnp.sum(weight)


def _done(said: Int[Array, "T B"], asked: Int[Array, "T B"]) -> Array:
    """`[T, B]`, true where this step and all before it are right and asked for."""
    return jnp.cumprod((said == asked) & counted(asked), axis=0, dtype=jnp.int32).astype(bool)
