"""One-to-many: a vector becomes a sequence of tokens (Vinyals et al. 2015, image captions)."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from throughtime.memory.architectures._generation import Context, Generated
from throughtime.memory.architectures.decoder import Decoder
from throughtime.memory.base import Memory


class OneToMany(eqx.Module):
    """A decoder that is told one vector.

    Reference: Vinyals et al. 2015, "Show and tell: a neural image caption generator", arXiv 1411.4555.
    """

    features: Callable[[Any], Array] | None
    decoder: Decoder

    def __init__(
        self,
        memory: Memory,
        num_tokens: int,
        context_size: int,
        *,
        features: Callable[[Any], Array] | None = None,
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
            num_tokens: V, with PAD, BOS and EOS.
            context_size: C, features of the vector.
            features: a module that makes the vector `[B, C]` of the input (an image); None where it is the input.
            embed: as for `Decoder`.
            feed_context: as for `Decoder`.
            bridge: as for `Decoder`.
            dropout: as for `Decoder`.
            readout: as for `Decoder`.
            key: for the random weights of the decoder.

        Raises:
            ConfigError: sizes that are too small or do not fit the memory.
        """
        self.features = features
        self.decoder = Decoder(
            memory,
            num_tokens,
            context_size=context_size,
            embed=embed,
            feed_context=feed_context,
            bridge=bridge,
            dropout=dropout,
            readout=readout,
            key=key,
        )

    def context(self, x: Any) -> Context:
        """What the decoder is told of an input."""
        return Context(x if self.features is None else self.features(x))

    def __call__(self, x: Any, tokens: Any, **options: Any) -> Float[Array, "T B V"]:
        """`Decoder.teacher_forced` on `context(x)`: the logits of a target."""
        return self.decoder.teacher_forced(self.context(x), tokens, **options)

    def generate(self, x: Any, max_length: int, **options: Any) -> Generated:
        """`Decoder.generate` from `context(x)`."""
        return self.decoder.generate(self.context(x), max_length, **options)

    def beam_search(self, x: Any, width: int, max_length: int, **options: Any) -> Generated:
        """`Decoder.beam_search` from `context(x)`."""
        return self.decoder.beam_search(self.context(x), width, max_length, **options)
