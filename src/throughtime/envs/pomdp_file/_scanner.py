"""The words of a .POMDP file with their line numbers, and what is said of a mistake."""

import math
import re
from collections.abc import Iterable
from typing import NamedTuple, NoReturn

import numpy as np

from throughtime.core import ConfigError, did_you_mean

SUM_TOLERANCE = 1e-4  # rows are written with few digits; what is this close to one is scaled to it

PREAMBLE = ("discount", "values", "states", "actions", "observations")
STATEMENTS = (*PREAMBLE, "start", "T", "O", "R")  # each begins a statement, followed by a colon
RESERVED = frozenset({*STATEMENTS, "include", "exclude", "uniform", "identity", "reset", "reward", "cost"})

_WORD = re.compile(r"[:*]|[^\s:*]+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class Word(NamedTuple):
    """One word and the line it stands on (from 1)."""

    text: str
    line: int


class Scanner:
    """Reads words one after another.

    Args:
        text: the file's; a `#` begins a comment, up to the end of its line.
        file: its name, for messages.
    """

    def __init__(self, text: str, file: str):
        self.file = file
        lines = text.splitlines()
        self._words = [
            Word(word, number)
            for number, line in enumerate(lines, start=1)
            for word in _WORD.findall(line.partition("#")[0])
        ]
        self._next = 0
        self.lines = np.zeros(0, int)  # where each number of the last `array` stands
        self._end = Word("", max(len(lines), 1))

    def peek(self, ahead: int = 0) -> Word:
        """The next word, not taken; its text is empty at the end of the file."""
        i = self._next + ahead
        return self._words[i] if i < len(self._words) else self._end

    def take(self) -> Word:
        """The next word."""
        word = self.peek()
        self._next += 1
        return word

    def at_statement(self) -> bool:
        """Whether a statement begins here, or the file ends."""
        word = self.peek().text
        if word == "start" and self.peek(1).text in ("include", "exclude"):
            return True
        return not word or (word in STATEMENTS and self.peek(1).text == ":")

    def colon(self, after: str) -> None:
        """Takes a colon."""
        word = self.take()
        if word.text != ":":
            self.fail(word, f"a colon is missing after {after}; {_shown(word)} stands there.", "", f"Write {after}: …")

    def number(self, what: str) -> float:
        """Takes a finite number."""
        word = self.take()
        if not _NUMBER.fullmatch(word.text):
            self.fail(word, f"{what} should be a number, and {_shown(word)} is none.")
        value = float(word.text)
        if not math.isfinite(value):
            self.fail(word, f"{what} is {word.text}.", "It is too large to be a number here.")
        return value

    def array(self, shape: tuple[int, ...], place: str) -> np.ndarray:
        """Takes as many numbers as `shape` holds; `place` says where they stand, for messages."""
        first, words = self.peek(), []
        while self.is_number():
            words.append(self.peek())
            self.number("An entry")
        count = math.prod(shape)
        if len(words) != count:
            stands = self.peek()
            after = f" (then {stands.text!r} in line {stands.line})" if stands.text else " (then the file ends)"
            size = f"{' × '.join(map(str, shape))} = {count}" if len(shape) > 1 else f"{count}"
            self.fail(
                first,
                f"{place} is followed by {len(words)} number{'' if len(words) == 1 else 's'}{after}.",
                f"There should be {size}.",
                "Complete the row or matrix, or correct the counts in the preamble.",
            )
        self.lines = np.array([word.line for word in words], int).reshape(shape)
        return np.array([float(word.text) for word in words]).reshape(shape)

    def probabilities(self, shape: tuple[int, ...], place: str) -> np.ndarray:
        """As `array`, of numbers between 0 and 1."""
        first = self.peek()
        values = self.array(shape, place)
        outside = values[(values < 0) | (values > 1)]
        if outside.size:
            self.fail(
                first,
                f"{place} has the entry {outside.flat[0]:g}.",
                "A probability lies between 0 and 1.",
                "Correct it.",
            )
        return values

    def distribution(self, word: Word, name: str, row: np.ndarray, more: str = "") -> None:
        """Refuses a row that does not sum to one; `word` says where it stands."""
        if abs(row.sum() - 1) > SUM_TOLERANCE:
            self.fail(
                word,
                f"the row {name} sums to {row.sum():.6g}.{more}",
                "Its entries are probabilities, so they have to sum to 1. Later statements override earlier ones entry "
                "by entry; an entry that is not stated again stays.",
                "Correct the row, or set the entries that should be zero to 0.",
            )

    def is_number(self) -> bool:
        """Whether the next word is a number."""
        return _NUMBER.fullmatch(self.peek().text) is not None

    def fail(self, word: Word, what: str, why: str = "", mend: str = "") -> NoReturn:
        """Raises a `ConfigError` that names file and line."""
        raise ConfigError(f"{self.file}, line {word.line}: {what}", why, mend)


class Names:
    """What a file calls its states, actions or observations: by name, by number from 0, or `*` for all.

    Args:
        kind: "state", "action" or "observation".
        names: one each; where the file only gave their number, "0", "1", ….
    """

    def __init__(self, kind: str, names: Iterable[str]):
        self.kind, self.names = kind, tuple(names)
        self._index = {name: i for i, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.names)

    def take(self, scanner: Scanner) -> slice | int:
        """The index of the next word; `slice(None)` for `*`."""
        if scanner.peek().text == "*":
            scanner.take()
            return slice(None)
        return self.index(scanner)

    def index(self, scanner: Scanner) -> int:
        """The index of the next word, which names one."""
        word = scanner.take()
        index = self._index.get(word.text)
        if index is None and word.text.isdecimal():
            index = int(word.text)
            if index >= len(self):
                why, mend = f"The file has {len(self)}, counted from 0.", f"Take a number from 0 to {len(self) - 1}."
                scanner.fail(word, f"there is no {self.kind} {word.text}.", why, mend)
        if index is None:
            known = [*self.names[:40], "*"]
            scanner.fail(word, f"there is no {self.kind} {word.text!r}.", "", did_you_mean(word.text, known))
        return index


def _shown(word: Word) -> str:
    return repr(word.text) if word.text else "the end of the file"
