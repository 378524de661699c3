"""Token sequences: what begins and ends one, which of its steps count, and how a prediction of it is scored.

A target is `[T, B]` whole numbers: the symbols of a sequence, then `EOS`, then `PAD` up to T. `BOS` is never written:
a decoder feeds it to itself. Which steps count is said once, here: all up to and including the first EOS, and nothing
after it.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from throughtime.core import ConfigError

PAD, BOS, EOS = 0, 1, 2
FIRST_SYMBOL = 3
"""The tokens below are the three above; a task's own symbols are numbered from here."""


def counted(tokens: Int[Array, "T B"]) -> Bool[Array, "T B"]:
    """The steps that count: up to and including the first EOS, but for PAD."""
    eos = (tokens == EOS).astype(jnp.int32)
    return (jnp.cumsum(eos, axis=0) == eos) & (tokens != PAD)  # no EOS before this step


def token_loss(logits: Float[Array, "T B V"], tokens: Int[Array, "T B"]) -> Float[Array, ""]:
    """The mean cross-entropy of the tokens that count, in nats a token; the EOS is one of them.

    Args:
        logits: `[T, B, V]`; at steps that do not count they may be anything, even NaN.
        tokens: the target, `[T, B]`.

    Returns:
        A scalar; 0 where no step counts.
    """
    mask = counted(tokens)
    log_p = jax.nn.log_softmax(jnp.where(mask[..., None], logits, 0.0))
    # A one-hot sum, where a gather's backward pass would be a scatter.
    target = jax.nn.one_hot(tokens, logits.shape[-1], dtype=bool) & mask[..., None]
    return -jnp.sum(jnp.where(target, log_p, 0.0)) / jnp.maximum(jnp.sum(mask), 1).astype(logits.dtype)


def token_accuracy(predicted: Int[Array, "S B"], tokens: Int[Array, "T B"]) -> Float[Array, ""]:
    """The share of the target's steps that count at which the prediction has the same token at the same place.

    Args:
        predicted: `[S, B]`; steps that it does not have are wrong.
        tokens: the target, `[T, B]`.
    """
    mask = counted(tokens)
    right = mask & (_fit(predicted, tokens.shape[0]) == tokens)
    return jnp.sum(right).astype(jnp.float32) / jnp.maximum(jnp.sum(mask), 1).astype(jnp.float32)


def exact_match(predicted: Int[Array, "S B"], tokens: Int[Array, "T B"]) -> Bool[Array, " B"]:
    """Whether the prediction is the target, EOS included; what either holds after its EOS does not matter.

    Args:
        predicted: `[S, B]`.
        tokens: the target, `[T, B]`.
    """
    length = max(predicted.shape[0], tokens.shape[0])
    a, b = (jnp.where(counted(x), x, PAD) for x in (_fit(predicted, length), _fit(tokens, length)))
    return jnp.all(a == b, axis=0)


def check_tokens(tokens: Array, num_tokens: int) -> None:
    """Raises ConfigError unless `tokens` is a target: `[T, B]` whole numbers below `num_tokens`, T at least 1.

    Inside compiled code only the shape and the dtype are known, and checked.
    """
    if tokens.ndim != 2 or not jnp.issubdtype(tokens.dtype, jnp.integer):
        raise ConfigError(
            f"expected tokens [T, B] of whole numbers, got {tokens.dtype}{list(tokens.shape)}",
            "A target is one column a sequence, time first.",
            "For example jnp.stack(columns, axis=1).astype(jnp.int32).",
        )
    if tokens.shape[0] == 0:
        raise ConfigError(
            "expected tokens of at least one step, got T = 0", "Even an empty sequence has its EOS.", "Add the EOS."
        )
    if isinstance(tokens, Tracer):
        return
    values = np.asarray(tokens)
    if values.size and not (values.min() >= 0 and values.max() < num_tokens):
        raise ConfigError(
            f"expected tokens in 0 … {num_tokens - 1}, got {values.min()} … {values.max()}",
            f"The decoder knows {num_tokens} tokens, PAD, BOS and EOS included.",
            "Give the decoder a greater num_tokens, or number the symbols from FIRST_SYMBOL.",
        )
    if (values == BOS).any():
        raise ConfigError("a target holds BOS", "The decoder puts it before the first step itself.", "Leave BOS out.")
    if (values[0] == PAD).any():
        column = int(np.argmax(values[0] == PAD))
        raise ConfigError(
            f"target {column} has no tokens: it begins with PAD", "An empty sequence is its EOS.", "Add the EOS."
        )


def _fit(tokens: Array, length: int) -> Array:
    """Cut to `length` steps, or filled up with PAD."""
    tokens = tokens[:length]
    return jnp.pad(tokens, ((0, length - tokens.shape[0]), (0, 0)), constant_values=PAD)
