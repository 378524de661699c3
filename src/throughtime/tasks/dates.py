"""Dates in many written forms to ISO 8601: an encoder-decoder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np
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
)
from throughtime.tasks.base import Task, TaskConfig

# Not strftime's, which speaks the user's language.
MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
EMBEDDING = 16


def _ordinal(n: int) -> str:
    return f"{n}{'th' if n % 100 in (11, 12, 13) else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"


FORMS: Mapping[str, Callable[[date], str]] = {
    "31.12.1999": lambda d: f"{d.day}.{d.month}.{d.year}",
    "12/31/1999": lambda d: f"{d.month}/{d.day}/{d.year}",
    "19991231": lambda d: f"{d.year}{d.month:02}{d.day:02}",
    "31 december 1999": lambda d: f"{d.day} {MONTHS[d.month - 1]} {d.year}",
    "december 31, 1999": lambda d: f"{MONTHS[d.month - 1]} {d.day}, {d.year}",
    "31-dec-1999": lambda d: f"{d.day:02}-{MONTHS[d.month - 1][:3]}-{d.year}",
    "fri dec 31 1999": lambda d: f"{WEEKDAYS[d.weekday()][:3]} {MONTHS[d.month - 1][:3]} {d.day} {d.year}",
    "the 31st of december, 1999": lambda d: f"the {_ordinal(d.day)} of {MONTHS[d.month - 1]}, {d.year}",
    "friday, 31 december 1999": lambda d: f"{WEEKDAYS[d.weekday()]}, {d.day} {MONTHS[d.month - 1]} {d.year}",
    "1999, december the 31st": lambda d: f"{d.year}, {MONTHS[d.month - 1]} the {_ordinal(d.day)}",
}
"""The written forms, each by the date that it writes so: 31 December 1999. No form can be read as two dates."""

CHARACTERS = " ,-./0123456789abcdefghijklmnopqrstuvwxyz"
ISO = "-0123456789"


class Dates(NamedTuple):
    """Written dates."""

    sources: Int[Array, "N S"]  # characters by number, −1 in the padding
    lengths: Int[Array, " N"]
    targets: Int[Array, "N T"]
    forms: Int[Array, " N"]


class DateSplits(NamedTuple):
    """No date of one split is in another, in whatever form."""

    train: Dates
    valid: Dates
    test: Dates


@dataclass(frozen=True)
class DatesToISO(Task):
    """A date is read in one of ten written forms, character by character, and written as YYYY-MM-DD."""

    name: ClassVar[str] = "dates"
    architecture: ClassVar[Any] = "encoder-decoder"
    summary: ClassVar[str] = "read a date in many written forms, write it as YYYY-MM-DD: dates never seen in training"
    score: ClassVar[str] = "exact_match"
    higher_is_better: ClassVar[bool] = True

    first_year: int = 1900
    """The first year of the dates."""
    last_year: int = 2099
    """The last one."""
    examples: int = 20_000
    """Written dates to train on."""
    attention: bool = True
    """Whether the decoder attends to the encoder's outputs."""
    own: float = 0.0
    """Scheduled sampling: the probability, at the end, that a step reads the decoder's own prediction."""
    beam: int = 1
    """Sequences in the beam when the model is evaluated; 1 is greedy search."""

    def __post_init__(self):
        if not 1000 <= self.first_year <= self.last_year <= 9999:
            raise ConfigError(
                f"the years are {self.first_year} … {self.last_year}", "A year has four digits.", "Try 1900 and 2099."
            )
        for field in ("examples", "beam"):
            if getattr(self, field) < 1:
                raise ConfigError(f"{field} is {getattr(self, field)}", "", f"Set {field} to 1 or more.")
        ScheduledSampling(self.own)

    @property
    def memoryless_score(self) -> float | None:
        """An encoder that sees the last character alone does not know the date.

        Not known with attention, which shows the decoder all characters at once.
        """
        return None if self.attention else 0.0

    @property
    def beside_memory(self) -> str | None:
        """The encoder's outputs, where the decoder attends to them."""
        return "all characters that were read (by attention)" if self.attention else None

    def defaults(self, memory: str) -> TaskConfig:
        """A GRU of 96 units."""
        return TaskConfig(memory=memory, hidden_size=96, updates=1500, batch_size=64, learning_rate=3e-3)

    def load(self) -> DateSplits:
        """Every tenth day (drawn once and for all) is for validation or test, the others for training."""
        return _load(self.first_year, self.last_year, self.examples)

    def model(self, data: DateSplits, config: TaskConfig, key: PRNGKeyArray) -> EncoderDecoder:
        """Encoder and decoder of one kind and size."""
        del data
        key_encoder, key_decoder, key_model = jax.random.split(key, 3)
        return EncoderDecoder(
            config.build_memory(len(CHARACTERS), key_encoder),
            config.build_memory(EMBEDDING, key_decoder),
            FIRST_SYMBOL + len(ISO),
            attention=self.attention,
            dropout=config.dropout,
            key=key_model,
        )

    def batch(self, data: DateSplits, size: int, key: PRNGKeyArray) -> Dates:
        """Written dates of the training."""
        rows = jax.random.randint(key, (size,), 0, data.train.lengths.shape[0])
        return jax.tree.map(lambda a: a[rows], data.train)

    def validation_batch(self, data: DateSplits, key: PRNGKeyArray) -> Dates:
        """All of the validation split."""
        del key
        return data.valid

    def loss(
        self, model: EncoderDecoder, batch: Dates, key: PRNGKeyArray | None, progress: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Cross-entropy of the target, under teacher forcing or scheduled sampling."""
        own = ScheduledSampling(self.own)(progress) if self.own > 0 and key is not None else None
        targets = batch.targets.T
        return token_loss(model(_one_hot(batch), batch.lengths, targets, own=own, key=key), targets)

    def evaluate(self, model: EncoderDecoder, data: DateSplits, key: PRNGKeyArray) -> Mapping[str, float]:
        """Exact matches and token accuracy of the free-running decoder on dates of the test split, and by form."""
        del key
        test, steps = data.test, data.test.targets.shape[1]
        if self.beam > 1:
            said = model.beam_search(_one_hot(test), test.lengths, self.beam, steps).tokens[0]
        else:
            said = model.generate(_one_hot(test), test.lengths, steps).tokens
        right = np.asarray(exact_match(said, test.targets.T))
        scores = {"exact_match": float(right.mean()), "token_accuracy": float(token_accuracy(said, test.targets.T))}
        for i, form in enumerate(FORMS):
            scores[f"exact_match {form!r}"] = float(right[np.asarray(test.forms) == i].mean())
        return scores


def _one_hot(dates: Dates) -> Float[Array, "S B I"]:
    return jax.nn.one_hot(dates.sources.T, len(CHARACTERS))  # zeros in the padding


@cache
def _load(first_year: int, last_year: int, examples: int) -> DateSplits:
    rng = np.random.default_rng(0)
    first = date(first_year, 1, 1)
    days = rng.permutation((date(last_year, 12, 31) - first).days + 1)
    tenth = len(days) // 10
    train, valid, test = days[tenth:], days[: tenth // 3], days[tenth // 3 : tenth]

    def write(days: np.ndarray, count: int) -> Dates:
        chosen, forms = rng.choice(days, count), rng.integers(len(FORMS), size=count)
        writers = list(FORMS.values())
        dates = [first + timedelta(int(day)) for day in chosen]
        texts = [writers[form](day) for form, day in zip(forms, dates, strict=True)]
        sources = np.full((count, _LONGEST), -1, np.int32)
        targets = np.full((count, 11), PAD, np.int32)
        for row, (text, day) in enumerate(zip(texts, dates, strict=True)):
            sources[row, : len(text)] = [CHARACTERS.index(c) for c in text]
            targets[row] = [*(FIRST_SYMBOL + ISO.index(c) for c in day.isoformat()), EOS]
        lengths = np.array([len(text) for text in texts], np.int32)
        return Dates(sources, lengths, targets, forms.astype(np.int32))  # pyright: ignore[reportArgumentType]

    return DateSplits(write(train, examples), write(valid, 500), write(test, 2000))


_LONGEST = max(len(write(date(2000, 9, 27))) for write in FORMS.values())  # a Wednesday in September
