"""The decoder: a memory that puts out one token at a time and reads the one before."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.memory._checks import check_sizes
from throughtime.memory.architectures._generation import Context, Generated, draw, run_freely, search_beam
from throughtime.memory.architectures._states import add_to_state, state_size
from throughtime.memory.architectures.attention import Attention
from throughtime.memory.architectures.ragged import memory_dtype, valid_steps
from throughtime.memory.architectures.tokens import BOS, FIRST_SYMBOL, PAD, check_tokens
from throughtime.memory.base import Memory
from throughtime.memory.readout import Readout


class Decoder(eqx.Module):
    r"""A conditional language model over tokens 0 … V−1, of which 0, 1, 2 are PAD, BOS and EOS.

        s_0 = memory's initial state + tanh(c W_b + b_b)     the bridge, in each leaf of the state
        x_t = [embedding of y_{t−1}; c],  y_0 = BOS          c where `feed_context`
        s_t, h_t = memory(s_{t−1}, x_t)
        p(y_t) = softmax(h̃_t W_hy + b_y)                     h̃_t = h_t, or with attention over the source

    PAD and BOS have probability zero: their logits are −inf. Dropout, in training alone, leaves out the same features
    of x and h at all steps of a sequence (Gal & Ghahramani 2016, arXiv 1512.05287).

    References: Cho et al. 2014, arXiv 1406.1078 (the context at every step); Sutskever, Vinyals & Le 2014, arXiv
    1409.3215 (the context as initial state).
    """

    embedding: Float[Array, "V E"] | None
    memory: Memory
    bridge: Readout | None
    attention: Attention | None
    readout: Callable[[Array], Array]
    num_tokens: int = eqx.field(static=True)
    context_size: int = eqx.field(static=True)
    feed_context: bool = eqx.field(static=True)
    dropout: float = eqx.field(static=True)

    def __init__(
        self,
        memory: Memory,
        num_tokens: int,
        *,
        context_size: int = 0,
        source_size: int | None = None,
        embed: bool = True,
        feed_context: bool = True,
        bridge: bool = True,
        dropout: float = 0.0,
        readout: Callable[[Array], Array] | None = None,
        key: PRNGKeyArray,
    ):
        """Builds a decoder around a memory.

        Args:
            memory: any memory with parameters; its inputs are the embedding and, where it is fed, the context.
            num_tokens: V, with PAD, BOS and EOS, so at least 4.
            context_size: C, features of the context vector; 0 for none.
            source_size: A, features of the encoder outputs to attend to; None for no attention.
            embed: whether tokens have a learned embedding, of the width that the context leaves free of the memory's
                inputs; otherwise the memory reads them one-hot.
            feed_context: whether the context vector is an input at every step.
            bridge: whether the context vector moves the initial state.
            dropout: share of the features that a training step leaves out.
            readout: a module that makes logits `[..., V]` of the memory's outputs; None for a linear layer.
            key: for the random weights.

        Raises:
            ConfigError: sizes that are too small or do not fit the memory.
        """
        check_sizes(source_size=source_size)
        if num_tokens <= FIRST_SYMBOL:
            raise ConfigError(
                f"num_tokens is {num_tokens}",
                "PAD, BOS and EOS are three of them, so nothing is left to say.",
                "Set num_tokens to the number of symbols plus 3.",
            )
        if context_size < 0 or not 0 <= dropout < 1:
            raise ConfigError(
                f"context_size is {context_size}, dropout is {dropout}",
                "A size is not negative, and a share of features is in [0, 1).",
            )
        width = memory.input_size - context_size * feed_context
        if width < 1 or (not embed and width != num_tokens):
            room = "the embedding" if embed else f"{num_tokens} one-hot tokens"
            raise ConfigError(
                f"a memory with {memory.input_size} inputs in a decoder with a context of {context_size}",
                f"Its inputs are {room}{' and the context' * feed_context}, which leaves {width} for {room}.",
                f"Build the memory with an input_size of {(1 if embed else num_tokens) + context_size * feed_context}"
                f"{' or more' * embed}.",
            )
        key_embedding, key_bridge, key_attention, key_readout = jax.random.split(key, 4)
        dtype = memory_dtype(memory)
        self.memory, self.num_tokens, self.context_size = memory, num_tokens, context_size
        self.feed_context, self.dropout = feed_context and context_size > 0, dropout
        self.embedding = jax.random.normal(key_embedding, (num_tokens, width), dtype) * 0.3 if embed else None
        total = state_size(memory.initial_state(1))
        bridged = bridge and context_size > 0 and total > 0
        self.bridge = Readout(context_size, total, "tanh", dtype=dtype, key=key_bridge) if bridged else None
        hidden = memory.output_size
        attention = None if source_size is None else Attention(hidden, source_size, dtype=dtype, key=key_attention)
        self.attention = attention
        self.readout = readout or Readout(hidden, num_tokens, dtype=dtype, key=key_readout)

    def start(self, context: Context) -> Any:
        """The memory's state before the first token, leaves `[B, ...]`."""
        state = self.memory.initial_state(context.vector.shape[0])
        return state if self.bridge is None else add_to_state(state, self.bridge(context.vector))

    def step(self, state: Any, token: Int[Array, " B"], context: Context) -> tuple[Any, Float[Array, "B V"]]:
        """One step of the decoder.

        Args:
            state: as `start` or the last call returned it.
            token: the token before, `[B]`; BOS at the first step.
            context: what the decoder was told.

        Returns:
            The next state, and the logits of the next token.
        """
        state, h = self.memory.step(state, self._inputs(token, context))
        return state, self._logits(h[None], context)[0]

    def teacher_forced(
        self,
        context: Context,
        tokens: Any,
        *,
        own: Float[Array, ""] | float | None = None,
        greedy: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "T B V"]:
        """The logits of each token of a target, given those before it.

        Args:
            context: what the decoder is told.
            tokens: the target, whole numbers `[T, B]`: symbols, EOS, PAD.
            own: the probability that a step reads the decoder's own prediction of the token before instead of the
                target's (scheduled sampling); None for teacher forcing, which needs no loop over the readout.
            greedy: whether its own predictions are the most probable tokens; otherwise they are drawn.
            key: for dropout, and for scheduled sampling; None in evaluation.

        Returns:
            `[T, B, V]`; what it says after a target's EOS means nothing.

        Raises:
            ConfigError: a context or a target of another shape or dtype, or `own` without a key.
        """
        tokens = jnp.asarray(tokens)
        self.check(context)
        check_tokens(tokens, self.num_tokens)
        T, B = tokens.shape
        if context.vector.shape[0] != B:
            raise ConfigError(
                f"{B} targets and {context.vector.shape[0]} contexts", "Each row of the context has its target.", ""
            )
        before = jnp.concatenate([jnp.full((1, B), BOS, tokens.dtype), tokens[:-1]])
        drop_x, drop_h = self._dropout(None if key is None else jax.random.fold_in(key, T + 1), B)
        if own is None:
            xs = drop_x(self._inputs(before, context))
            _, hs = self.memory.unroll(self.start(context), xs, jnp.zeros((T, B), bool))
            return self._logits(drop_h(hs), context)
        if key is None:
            raise ConfigError(
                "scheduled sampling without a key", "It draws which steps read their own prediction.", "Give a key."
            )
        coins = jax.random.bernoulli(jax.random.fold_in(key, T), own, (T, B))

        def body(carry, inputs):
            state, predicted = carry
            t, truth, coin = inputs
            state, h = self.memory.step(state, drop_x(self._inputs(jnp.where(coin, predicted, truth), context)))
            logits = self._logits(drop_h(h[None]), context)[0]
            drawn = draw(logits, None if greedy else jax.random.fold_in(key, t))
            return (state, drawn.astype(tokens.dtype)), logits

        begin = (self.start(context), before[0])  # the first step reads BOS either way
        return jax.lax.scan(body, begin, (jnp.arange(T), before, coins))[1]

    def generate(
        self, context: Context, max_length: int, *, key: PRNGKeyArray | None = None, temperature: float = 1.0
    ) -> Generated:
        """Runs freely, in one compiled loop: each step reads the token that the last one put out.

        Args:
            context: what the decoder is told; its rows are the batch.
            max_length: T, the most tokens of a sequence, EOS included.
            key: to draw the tokens; None takes the most probable one at each step (greedy search).
            temperature: what the logits are divided by before a token is drawn; below 1 is more cautious.

        Returns:
            `tokens [T, B]`; `log_prob` is the decoder's own, at temperature 1.

        Raises:
            ConfigError: a context that does not fit, or a `max_length` or temperature that is not above 0.
        """
        check_sizes(max_length=max_length)
        self.check(context)
        if not temperature > 0:
            raise ConfigError(
                f"temperature is {temperature}",
                "Logits are divided by it.",
                "For the most probable tokens give no key.",
            )
        return run_freely(self, context, max_length, key, jnp.asarray(temperature, context.vector.dtype))

    def beam_search(self, context: Context, width: int, max_length: int, *, length_penalty: float = 0.0) -> Generated:
        """The `width` best sequences that beam search finds, in one compiled loop.

        Each step extends every sequence of the beam by every token and keeps the best `width`. Ended sequences stay
        in the beam and compete with those that go on. Width 1 is greedy search; a beam wide enough for all sequences
        of `max_length` tokens is exhaustive.

        Args:
            context: what the decoder is told; its rows are the batch.
            width: sequences in the beam.
            max_length: T, the most tokens of a sequence, EOS included.
            length_penalty: α of log p(y) / ((5 + |y|)/6)^α, by which sequences are compared (Wu et al. 2016, arXiv
                1609.08144, equation 14); 0 compares log p(y), which favours short ones.

        Returns:
            `tokens [width, T, B]`, the best first; `log_prob` is −inf where there are fewer sequences than `width`.

        Raises:
            ConfigError: a context that does not fit, a width or `max_length` below 1, or a negative penalty.
        """
        check_sizes(width=width, max_length=max_length)
        self.check(context)
        if not length_penalty >= 0:
            raise ConfigError(f"length_penalty is {length_penalty}", "It is the exponent α.", "Set it to 0 or more.")
        return search_beam(self, context, width, max_length, jnp.asarray(length_penalty, context.vector.dtype))

    def check(self, context: Context) -> None:
        """Raises ConfigError unless the context is what this decoder was built for."""
        vector, source, lengths = context
        dtype = memory_dtype(self.memory)
        if vector.ndim != 2 or vector.shape[1] != self.context_size or vector.dtype != dtype:
            raise ConfigError(
                f"expected a context {dtype}[B, {self.context_size}], got {vector.dtype}{list(vector.shape)}",
                "The context is one vector for each sequence.",
            )
        if self.attention is None:
            return
        size = self.attention.weight_hs.shape[1]
        if source is None or source.ndim != 3 or source.shape[1:] != (len(vector), size) or source.shape[0] == 0:
            raise ConfigError(
                f"expected a source [S, {len(vector)}, {size}], got {'none' if source is None else list(source.shape)}",
                "This decoder attends to the outputs of an encoder.",
                "Put them into Context(vector, source, lengths).",
            )
        if lengths is not None and lengths.shape != (len(vector),):
            raise ConfigError(f"expected source lengths [{len(vector)}], got {list(lengths.shape)}")

    def _inputs(self, tokens: Int[Array, "*batch B"], context: Context) -> Float[Array, "*batch B I"]:
        dtype = memory_dtype(self.memory)
        x = jax.nn.one_hot(tokens, self.num_tokens, dtype=dtype)  # a product: its gradient is not a scatter
        if self.embedding is not None:
            x = x @ self.embedding
        if not self.feed_context:
            return x
        vector = jnp.broadcast_to(
            context.vector.reshape((1,) * (tokens.ndim - 1) + context.vector.shape), (*tokens.shape, self.context_size)
        )
        return jnp.concatenate([x, vector], axis=-1)

    def _logits(self, hs: Float[Array, "T B H"], context: Context) -> Float[Array, "T B V"]:
        if self.attention is not None:
            assert context.source is not None
            S, B = context.source.shape[:2]
            lengths = jnp.full(B, S) if context.lengths is None else context.lengths
            hs = self.attention(hs, context.source, valid_steps(lengths, S))
        logits = self.readout(hs)
        never = np.isin(np.arange(self.num_tokens), (PAD, BOS))
        return jnp.where(jnp.broadcast_to(never, logits.shape), -jnp.inf, logits)

    def _dropout(self, key: PRNGKeyArray | None, batch_size: int):
        """Two functions on `[..., B, F]`: for the memory's inputs and for its outputs."""
        if key is None or self.dropout == 0.0:
            return lambda x: x, lambda h: h
        masks = [
            jax.random.bernoulli(k, 1.0 - self.dropout, (batch_size, size))
            for k, size in zip(jax.random.split(key), (self.memory.input_size, self.memory.output_size), strict=True)
        ]

        def apply(mask):
            def drop(x):
                kept = jnp.broadcast_to(mask.reshape((1,) * (x.ndim - 2) + mask.shape), x.shape)
                return jnp.where(kept, x / (1.0 - self.dropout), jnp.zeros_like(x))

            return drop

        return apply(masks[0]), apply(masks[1])
