"""Encoder-decoder: a sequence becomes a sequence of another length."""

from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.memory.architectures._generation import Context, Generated
from throughtime.memory.architectures._states import flatten_state, state_size
from throughtime.memory.architectures.decoder import Decoder
from throughtime.memory.architectures.ragged import check_sequences, memory_dtype, read
from throughtime.memory.base import Memory


class EncoderDecoder(eqx.Module):
    """A memory reads the source, and a decoder is told the state in which it ended.

    The context vector is the encoder's whole state after the last valid step of each source (its last output, where
    it has no state); with attention the decoder sees all of the encoder's outputs too. The targets may be any tokens:
    words, or the actions that an instruction asks for.

    References: Cho et al. 2014, arXiv 1406.1078; Sutskever, Vinyals & Le 2014, arXiv 1409.3215.
    """

    encoder: Memory
    decoder: Decoder

    def __init__(
        self,
        encoder: Memory,
        memory: Memory,
        num_tokens: int,
        *,
        attention: bool = False,
        feed_context: bool = False,
        bridge: bool = True,
        dropout: float = 0.0,
        key: PRNGKeyArray,
    ):
        """Builds a decoder around `memory`.

        Args:
            encoder: any memory; it reads sources `[S, B, I]`, for tokens one-hot.
            memory: the decoder's, any memory with parameters of the encoder's dtype; its inputs are the embedding
                and, where it is fed, the context of `context_size(encoder)` features.
            num_tokens: V of the targets, with PAD, BOS and EOS.
            attention: whether the decoder attends to the encoder's outputs.
            feed_context: whether the context is an input at every step of the decoder.
            bridge: whether the context moves the decoder's initial state.
            dropout: as for `Decoder`.
            key: for the random weights of the decoder.

        Raises:
            ConfigError: sizes or dtypes that do not fit.
        """
        if memory_dtype(encoder) != memory_dtype(memory):
            raise ConfigError(
                f"an encoder of {memory_dtype(encoder)} and a decoder of {memory_dtype(memory)}",
                "The decoder computes with what the encoder puts out.",
                "Build both with one dtype.",
            )
        self.encoder = encoder
        self.decoder = Decoder(
            memory,
            num_tokens,
            context_size=context_size(encoder),
            source_size=encoder.output_size if attention else None,
            feed_context=feed_context,
            bridge=bridge,
            dropout=dropout,
            key=key,
        )

    def context(self, xs: Any, lengths: Any = None) -> Context:
        """What the decoder is told of the sources.

        Args:
            xs: `[S, B, I]`, of the encoder's dtype; the padding may be anything, even NaN.
            lengths: `[B]` whole numbers or a mask `[S, B]`; None where all sources are S long.

        Raises:
            ConfigError: another rank, width or dtype, no steps, or ragged sources without lengths.
        """
        xs, lengths = check_sequences(xs, lengths, self.encoder)
        reading = read(self.encoder, xs, lengths)
        vector = flatten_state(reading.state) if state_size(reading.state) else reading.last
        return Context(vector) if self.decoder.attention is None else Context(vector, reading.outputs, lengths)

    def __call__(self, xs: Any, lengths: Any, tokens: Any, **options: Any) -> Float[Array, "T B V"]:
        """`Decoder.teacher_forced` on `context(xs, lengths)`: the logits of a target."""
        return self.decoder.teacher_forced(self.context(xs, lengths), tokens, **options)

    def generate(self, xs: Any, lengths: Any, max_length: int, **options: Any) -> Generated:
        """`Decoder.generate` from `context(xs, lengths)`."""
        return self.decoder.generate(self.context(xs, lengths), max_length, **options)

    def beam_search(self, xs: Any, lengths: Any, width: int, max_length: int, **options: Any) -> Generated:
        """`Decoder.beam_search` from `context(xs, lengths)`."""
        return self.decoder.beam_search(self.context(xs, lengths), width, max_length, **options)


def context_size(encoder: Memory) -> int:
    """C, the features of the context vector that this encoder hands over."""
    return state_size(encoder.initial_state(1)) or encoder.output_size
