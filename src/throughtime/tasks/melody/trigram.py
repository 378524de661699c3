"""The baselines: interpolated trigrams of notes, as strong as two notes of memory allow, and what needs no memory."""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np

from throughtime.tasks.melody.corpus import HIGHEST, LOWEST, SIXTEENTHS, Note

Melody = Sequence[Note]
Event = tuple[tuple[Hashable, ...], Hashable]  # contexts from the least to the most specific, and what came
END = Note(-1, -1)
_BEFORE = Note(-2, -2)
_PITCHES, _DURATIONS = HIGHEST - LOWEST + 2, len(SIXTEENTHS)
_ALPHAS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)


class TrigramBits(NamedTuple):
    """Bits per note of the two trigram models, and of the same without memory."""

    whole: float
    """A note, pitch and duration together, given the two notes before."""
    factored: float
    """Its pitch given the two notes before, then its duration given the pitch too; backing off to parts of notes."""
    memoryless: float
    """Each symbol given the one before it alone, as a model without memory sees it: a pitch given the duration of the
    note before (after the first note: given that note, which is one input), a duration given the pitch."""


class Interpolated:
    r"""A model that mixes contexts from the least to the most specific.

        p_k(y) = (n(c_k, y) + α_k p_{k−1}(y)) / (n(c_k) + α_k),   p_{−1} uniform

    Reference: MacKay & Peto 1995, "A hierarchical Dirichlet language model", Natural Language Engineering 1(3).
    """

    def __init__(self, events: Sequence[Event], symbols: int):
        """Counts the training events; `symbols` is how many different things can come."""
        self.symbols = symbols
        levels = range(len(events[0][0]))
        self.joint = [Counter((contexts[k], y) for contexts, y in events) for k in levels]
        self.total = [Counter(contexts[k] for contexts, _ in events) for k in levels]
        self.alphas = [1.0 for _ in levels]

    def bits(self, events: Sequence[Event]) -> float:
        """The sum of −log2 p over events."""
        return self._bits(*self._look_up(events))

    def tune(self, events: Sequence[Event]) -> None:
        """Chooses each α to fit these (validation) events, one after the other, twice."""
        counts = self._look_up(events)
        for k in [*range(len(self.alphas))] * 2:

            def tried(alpha: float, k: int = k) -> float:
                self.alphas[k] = alpha
                return self._bits(*counts)

            self.alphas[k] = min(_ALPHAS, key=tried)

    def _look_up(self, events: Sequence[Event]) -> tuple[np.ndarray, np.ndarray]:
        joint = [[counter[contexts[k], y] for contexts, y in events] for k, counter in enumerate(self.joint)]
        total = [[counter[contexts[k]] for contexts, _ in events] for k, counter in enumerate(self.total)]
        return np.array(joint, float), np.array(total, float)

    def _bits(self, joint: np.ndarray, total: np.ndarray) -> float:
        p = np.full(joint.shape[1], 1.0 / self.symbols)
        for alpha, n_cy, n_c in zip(self.alphas, joint, total, strict=True):
            p = (n_cy + alpha * p) / (n_c + alpha)
        return -float(np.sum(np.log2(p)))


def trigram_bits(train: Sequence[Melody], valid: Sequence[Melody], test: Sequence[Melody]) -> TrigramBits:
    """Counted on the training melodies, tuned on the validation ones, measured on those of the test.

    The first note of a melody is given, its end is predicted, and bits are divided by the notes after the first.
    """
    notes = sum(len(melody) - 1 for melody in test)

    def measure(of: Callable[[Melody], list[Event]], symbols: int) -> float:
        fitted, tuning, measured = ([e for m in split for e in of(m)] for split in (train, valid, test))
        model = Interpolated(fitted, symbols)
        model.tune(tuning)
        return model.bits(measured) / notes

    return TrigramBits(
        measure(_whole, _PITCHES * _DURATIONS + 1),
        measure(_pitch, _PITCHES + 1) + measure(_duration, _DURATIONS),
        measure(_second_pitch, _PITCHES + 1) + measure(_later_pitch, _PITCHES + 1) + measure(_own_duration, _DURATIONS),
    )


def _steps(melody: Melody) -> list[tuple[Note, Note, Note]]:
    """The two notes before, the nearest first, and the note, from the second note to the end."""
    line = [_BEFORE, *melody, END]
    return [(line[i - 1], line[i - 2], line[i]) for i in range(2, len(line))]


def _whole(melody: Melody) -> list[Event]:
    return [((0, a, (a, b)), note) for a, b, note in _steps(melody)]


def _pitch(melody: Melody) -> list[Event]:
    return [((0, a.pitch, (a.pitch, b.pitch), (a, b.pitch), (a, b)), note.pitch) for a, b, note in _steps(melody)]


def _duration(melody: Melody) -> list[Event]:
    return [
        ((0, a.duration, a, (a, p), (a, b.duration, p), (a, b, p)), note.duration)
        for a, b, note in _steps(melody)
        if note != END
        for p in (note.pitch,)
    ]


def _second_pitch(melody: Melody) -> list[Event]:
    return [((0, a.pitch, a), note.pitch) for a, _, note in _steps(melody)[:1]]


def _later_pitch(melody: Melody) -> list[Event]:
    return [((0, a.duration), note.pitch) for a, _, note in _steps(melody)[1:]]


def _own_duration(melody: Melody) -> list[Event]:
    return [((0, note.pitch), note.duration) for _, _, note in _steps(melody) if note != END]
