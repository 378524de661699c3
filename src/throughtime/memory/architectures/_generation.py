"""What a decoder says by itself: greedily, drawn, or by beam search, each in one compiled loop."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from throughtime.core import select_rows
from throughtime.memory.architectures.tokens import BOS, EOS, PAD


class Context(NamedTuple):
    """What a decoder is told before it begins."""

    vector: Float[Array, "B C"]
    """An image's features, a seed, the end of an encoder; C may be 0, and then it only says how many rows there are."""
    source: Float[Array, "S B A"] | None = None
    """The outputs of an encoder, for attention."""
    lengths: Int[Array, " B"] | None = None
    """The valid steps of each source; None where all are S long."""


class Generated(NamedTuple):
    """What a decoder said."""

    tokens: Int[Array, "*best T B"]
    """Symbols, EOS, PAD; no EOS where `max_length` came first."""
    lengths: Int[Array, "*best B"]
    """Tokens of each sequence, its EOS included."""
    log_prob: Float[Array, "*best B"]
    """Of the whole sequence, in nats."""


@eqx.filter_jit
def run_freely(
    decoder: Any, context: Context, max_length: int, key: PRNGKeyArray | None, temperature: Float[Array, ""]
) -> Generated:
    """`Decoder.generate`, compiled."""
    B = context.vector.shape[0]

    def more(carry):
        t, _, _, ended, *_ = carry
        return (t < max_length) & ~jnp.all(ended)

    def body(carry):
        t, state, token, ended, tokens, log_prob = carry
        state, logits = decoder.step(state, token, context)
        drawn = draw(logits, None) if key is None else draw(logits / temperature, jax.random.fold_in(key, t))
        token = jnp.where(ended, PAD, drawn)
        chosen = _log_prob(logits, drawn)
        log_prob = jnp.where(ended, log_prob, log_prob + chosen)
        return t + 1, state, token, ended | (token == EOS), tokens.at[t].set(token), log_prob

    zero = jnp.zeros((), jnp.int32)
    begin = (
        zero,
        decoder.start(context),
        jnp.full(B, BOS, jnp.int32),
        jnp.zeros(B, bool),
        jnp.full((max_length, B), PAD, jnp.int32),
        jnp.zeros(B, context.vector.dtype),
    )
    *_, tokens, log_prob = jax.lax.while_loop(more, body, begin)
    return Generated(tokens, jnp.sum(tokens != PAD, axis=0, dtype=jnp.int32), log_prob)


@eqx.filter_jit
def search_beam(
    decoder: Any, context: Context, width: int, max_length: int, length_penalty: Float[Array, ""]
) -> Generated:
    """`Decoder.beam_search`, compiled."""
    B, V, W = context.vector.shape[0], decoder.num_tokens, width
    vector, source, lengths = context
    wide = Context(jnp.repeat(vector, W, axis=0), _repeat(source, W, 1), _repeat(lengths, W, 0))
    only_pad = jnp.where(jnp.arange(V) == PAD, 0.0, -jnp.inf).astype(context.vector.dtype)

    def more(carry):
        t, _, _, ended, _, _, log_prob = carry
        return (t < max_length) & jnp.any(~ended & (log_prob > -jnp.inf))

    def body(carry):
        t, state, token, ended, tokens, lengths, log_prob = carry
        state, logits = decoder.step(state, token.reshape(B * W), wide)
        log_p = jax.nn.log_softmax(logits).reshape(B, W, V)
        log_p = select_rows(ended, jnp.broadcast_to(only_pad, (B, W, V)), log_p)
        each = jnp.broadcast_to((lengths + (~ended).astype(jnp.int32))[..., None], (B, W, V)).reshape(B, W * V)
        each_log_prob = (log_prob[..., None] + log_p).reshape(B, W * V)
        penalty = ((5.0 + each.astype(log_prob.dtype)) / 6.0) ** length_penalty
        _, best = jax.lax.top_k(each_log_prob / penalty, W)  # [B, W], sorted
        parent, token = best // V, (best % V).astype(jnp.int32)
        rows = (parent + W * jnp.arange(B, dtype=parent.dtype)[:, None]).reshape(B * W)
        state = jax.tree.map(lambda leaf: leaf[rows], state)
        ended, tokens = jnp.take_along_axis(ended, parent, 1), jnp.take_along_axis(tokens, parent[None], 2)
        lengths, log_prob = (jnp.take_along_axis(a, best, 1) for a in (each, each_log_prob))
        return t + 1, state, token, ended | (token == EOS), tokens.at[t].set(token), lengths, log_prob

    begin = (
        jnp.zeros((), jnp.int32),
        decoder.start(wide),
        jnp.full((B, W), BOS, jnp.int32),
        jnp.zeros((B, W), bool),
        jnp.full((max_length, B, W), PAD, jnp.int32),
        jnp.zeros((B, W), jnp.int32),
        # One sequence to begin with: W equal ones would fill the beam with copies.
        jnp.broadcast_to(jnp.where(jnp.arange(W) == 0, 0.0, -jnp.inf).astype(context.vector.dtype), (B, W)),
    )
    *_, tokens, lengths, log_prob = jax.lax.while_loop(more, body, begin)
    return Generated(jnp.moveaxis(tokens, 2, 0), lengths.T, log_prob.T)


def _log_prob(logits: Float[Array, "B V"], token: Int[Array, " B"]) -> Float[Array, " B"]:
    return jnp.take_along_axis(jax.nn.log_softmax(logits), token[:, None], axis=1)[:, 0]


def _repeat(leaf: Array | None, times: int, axis: int) -> Array | None:
    return None if leaf is None else jnp.repeat(leaf, times, axis=axis)


def draw(logits: Float[Array, "B V"], key: PRNGKeyArray | None) -> Int[Array, " B"]:
    """A token of each row: drawn with the key, or the most probable one without."""
    drawn = jnp.argmax(logits, axis=-1) if key is None else jax.random.categorical(key, logits)
    return drawn.astype(jnp.int32)
