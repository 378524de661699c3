"""Reversing and copying strings of other lengths than those trained on: an encoder-decoder."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.memory.architectures import (
    EOS,
    FIRST_SYMBOL,
    PAD,
    EncoderDecoder,
    ScheduledSampling,
    exact_match,
    token_accuracy,
    token_loss,
    valid_steps,
)
from throughtime.tasks.base import Task, TaskConfig

EMBEDDING = 16


class Strings(NamedTuple):
    """A batch of sources and targets."""

    sources: Float[Array, "S B I"]  # one-hot
    lengths: Int[Array, " B"]
    targets: Int[Array, "T B"]


@dataclass(frozen=True)
class Reverse(Task):
    """A string of random symbols is read, and then written down backwards (or once more)."""

    name: ClassVar[str] = "reverse"
    architecture: ClassVar[Any] = "encoder-decoder"
    summary: ClassVar[str] = "write a string backwards, or copy it: strings longer than any trained on, too"
    score: ClassVar[str] = "exact_match"
    higher_is_better: ClassVar[bool] = True

    order: Literal["reverse", "copy"] = "reverse"
    """Whether the string is written backwards or as it was read."""
    symbols: int = 8
    """Different symbols."""
    length: int = 10
    """The longest string of the training, whose strings have 1 to this many symbols."""
    attention: bool = True
    """Whether the decoder attends to the encoder's outputs."""
    own: float = 0.0
    """Scheduled sampling: the probability, at the end, that a step reads the decoder's own prediction."""

    def __post_init__(self):
        if self.order not in ("reverse", "copy"):
            raise ConfigError(f"order is {self.order!r}, which is not one of its values", "", "Known: copy, reverse.")
        for field in ("symbols", "length"):
            if getattr(self, field) < 2:
                raise ConfigError(
                    f"{field} is {getattr(self, field)}", "Fewer than 2 leave nothing to tell apart.", "Set it to 8."
                )
        ScheduledSampling(self.own)

    @property
    def required_lag(self) -> int:
        """From the first symbol read to the step that writes it."""
        return 2 * self.length - 1 if self.order == "reverse" else self.length

    @property
    def memoryless_score(self) -> float | None:
        """Without memory the encoder sees the last symbol alone: strings of one symbol are all it can write.

        Not known with attention, which shows the decoder all symbols at once.
        """
        return None if self.attention else 1.0 / self.length

    @property
    def beside_memory(self) -> str | None:
        """The encoder's outputs, where the decoder attends to them."""
        return "all symbols that were read (by attention)" if self.attention else None

    def defaults(self, memory: str) -> TaskConfig:
        """A GRU of 96 units."""
        return TaskConfig(memory=memory, hidden_size=96, updates=1000, batch_size=64, learning_rate=3e-3)

    def model(self, data: Any, config: TaskConfig, key: PRNGKeyArray) -> EncoderDecoder:
        """Encoder and decoder of one kind and size."""
        del data
        key_encoder, key_decoder, key_model = jax.random.split(key, 3)
        encoder = config.build_memory(self.symbols, key_encoder)
        memory = config.build_memory(EMBEDDING, key_decoder)
        tokens = FIRST_SYMBOL + self.symbols
        return EncoderDecoder(encoder, memory, tokens, attention=self.attention, dropout=config.dropout, key=key_model)

    def batch(self, data: Any, size: int, key: PRNGKeyArray) -> Strings:
        """Strings of all lengths from 1 to `length` alike."""
        del data
        key_lengths, key_symbols = jax.random.split(key)
        return self.strings(jax.random.randint(key_lengths, (size,), 1, self.length + 1), self.length, key_symbols)

    def strings(self, lengths: Int[Array, " B"], longest: int, key: PRNGKeyArray) -> Strings:
        """Random strings of these lengths, and what is to be written."""
        B = lengths.shape[0]
        symbols = jax.random.randint(key, (longest, B), 0, self.symbols)
        steps = jnp.arange(longest)[:, None]
        back = jnp.maximum(lengths[None] - 1 - steps, 0)
        written = jnp.take_along_axis(symbols, back, axis=0) if self.order == "reverse" else symbols
        written = jnp.where(valid_steps(lengths, longest), written + FIRST_SYMBOL, PAD)
        targets = jnp.concatenate([written, jnp.full((1, B), PAD, written.dtype)])
        targets = jnp.where(jnp.arange(longest + 1)[:, None] == lengths[None], EOS, targets)
        return Strings(jax.nn.one_hot(symbols, self.symbols), lengths, targets)

    def loss(
        self, model: EncoderDecoder, batch: Strings, key: PRNGKeyArray | None, progress: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Cross-entropy of the target, under teacher forcing or scheduled sampling."""
        own = ScheduledSampling(self.own)(progress) if self.own > 0 and key is not None else None
        logits = model(batch.sources, batch.lengths, batch.targets, own=own, key=key)
        return token_loss(logits, batch.targets)

    def evaluate(self, model: Any, data: Any, key: PRNGKeyArray) -> Mapping[str, float]:
        """How right the free-running decoder is: over the lengths trained on, and at each of some lengths."""
        del data
        some = sorted({self.length * quarters // 4 for quarters in (2, 4, 5, 6, 8)})
        key_lengths, key_symbols = jax.random.split(key)
        trained = jax.random.randint(key_lengths, (1000,), 1, self.length + 1)
        lengths = jnp.concatenate([trained, *(jnp.full(500, n, trained.dtype) for n in some)])
        batch = self.strings(lengths, some[-1], key_symbols)  # one batch, and so one program, for all
        said = model.generate(batch.sources, lengths, some[-1] + 1).tokens
        right = exact_match(said, batch.targets)
        scores = {"exact_match": float(jnp.mean(right[:1000]))}
        for i, n in enumerate(some):
            rows = slice(1000 + 500 * i, 1500 + 500 * i)
            scores[f"exact_match_at_{n}"] = float(jnp.mean(right[rows]))
            scores[f"token_accuracy_at_{n}"] = float(token_accuracy(said[:, rows], batch.targets[:, rows]))
        return scores
