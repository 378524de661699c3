"""Reads Cassandra's .POMDP file format into arrays.

A. Cassandra's "POMDP file format" and its grammar (pomdp.org/code): a preamble in any order (discount, values, states,
actions, observations), an optional start, then any number of statements T, O and R, of which later ones override
earlier ones. What is not stated is zero. Every mistake is told with its line.
"""

from pathlib import Path

import numpy as np

from throughtime.core import ConfigError, did_you_mean
from throughtime.envs.pomdp_file._preamble import MAX_ENTRIES, Preamble
from throughtime.envs.pomdp_file._scanner import STATEMENTS, SUM_TOLERANCE, Names, Scanner, Word
from throughtime.envs.pomdp_file.model import Model


def read_model(path: Path) -> Model:
    """The POMDP that a file describes.

    Args:
        path: the file.

    Raises:
        ConfigError: it cannot be read, or what is wrong in which line, why, and how to mend it.
    """
    return parse_model(read_bytes(path), path.name)


def read_bytes(path: Path) -> bytes:
    """The contents of a .POMDP file.

    Raises:
        ConfigError: there is none, or it cannot be read; suggests the .POMDP files beside it.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        beside = [p.name for p in path.parent.glob("*") if p.suffix.lower() == ".pomdp"][:40]
        mend = did_you_mean(path.name, beside) if beside else "Name a file in Cassandra's .POMDP format."
        raise ConfigError(f"There is no file {path}.", f"It was looked for as {path.absolute()}.", mend) from error
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read.", f"{error.strerror or error}.", "Name a file in Cassandra's .POMDP format."
        ) from error


def parse_model(data: bytes, file: str) -> Model:
    """The POMDP that the contents of a file describe.

    Args:
        data: the contents, UTF-8.
        file: the file's name, for messages.

    Raises:
        ConfigError: as `read_model`.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{file}, line {line}: this is no UTF-8 text.", f"{error.reason.capitalize()}.", "Name a .POMDP file."
        ) from error
    scanner = Scanner(text, file)
    preamble, statements = Preamble(scanner), None
    while (word := scanner.take()).text:
        if word.text not in STATEMENTS:
            scanner.fail(word, f"{word.text!r} begins no statement.", "", did_you_mean(word.text, STATEMENTS))
        if word.text in ("T", "O", "R"):
            statements = statements or _Statements(scanner, preamble, word)
            statements.read(word)
        else:
            preamble.read(word)
    return (statements or _Statements(scanner, preamble, scanner.peek())).model()


class _Statements:
    """The tables, and what statements do to them.

    Args:
        scanner: the file.
        preamble: its head.
        word: the first word after the head, for messages.
    """

    def __init__(self, scanner: Scanner, preamble: Preamble, word: Word):
        preamble.check_complete(word)
        self.scanner, self.preamble = scanner, preamble
        self.states, self.actions = preamble.names["states"], preamble.names["actions"]
        self.observations = preamble.names["observations"]
        S, A, O = len(self.states), len(self.actions), len(self.observations)  # noqa: E741
        self.T, self.O, self.R = np.zeros((A, S, S)), np.zeros((A, S, O)), np.zeros((1, 1, 1, 1))
        # Where each row was last written; 0: nowhere.
        self.T_line, self.O_line = np.zeros((A, S), int), np.zeros((A, S), int)

    def read(self, word: Word) -> None:
        """Reads the statement that `word` begins."""
        self.scanner.colon(word.text)
        {"T": self._transition, "O": self._observation, "R": self._reward}[word.text]()

    def model(self) -> Model:
        """All of it, checked."""
        self._check_sums("T", self.T, self.T_line)
        self._check_sums("O", self.O, self.O_line)
        initial = self.preamble.start()
        return Model(
            discount=self.preamble.discount,
            states=self.states.names,
            actions=self.actions.names,
            observations=self.observations.names,
            initial=initial / initial.sum(),
            transition=self.T / self.T.sum(axis=2, keepdims=True),
            observation=self.O / self.O.sum(axis=2, keepdims=True),
            reward=self.preamble.sign * self.R + 0.0,  # no −0
        )

    def _transition(self) -> None:
        self._row_statement("T", self.T, self.T_line, self.states)

    def _observation(self) -> None:
        self._row_statement("O", self.O, self.O_line, self.observations)

    def _row_statement(self, letter: str, table: np.ndarray, lines: np.ndarray, columns: Names) -> None:
        """`action : state : column p`, `action : state` with a row, or `action` with a matrix."""
        scanner = self.scanner
        line = scanner.peek().line
        a = self.actions.take(scanner)
        s: int | slice = slice(None)
        place = f"{letter}: action"
        if scanner.peek().text == ":":
            scanner.take()
            s = self.states.take(scanner)
            place += " : state"
            if scanner.peek().text == ":":
                scanner.take()
                column = columns.take(scanner)
                table[a, s, column] = self.scanner.probabilities((), f"{place} : {columns.kind}")
                lines[a, s] = line
                return
        lines[a, s] = line
        word = scanner.peek()
        if word.text == "uniform":
            scanner.take()
            table[a, s] = 1 / len(columns)
        elif word.text == "identity" and letter == "T" and s == slice(None):
            scanner.take()
            table[a] = np.eye(len(columns))
        elif word.text == "reset" and letter == "T":
            scanner.take()
            table[a, s] = self.preamble.start()
        elif word.text in ("identity", "reset"):
            scanner.fail(word, f"{word.text} cannot stand here.", f"{place} needs probabilities.", "Write numbers.")
        else:
            rows = (len(self.states),) if place.endswith("action") else ()
            table[a, s] = self.scanner.probabilities((*rows, len(columns)), place)
            lines[a, s] = self.scanner.lines[..., 0]

    def _reward(self) -> None:
        """`action : state : next : observation r`, `… : next` with a row, or `action : state` with a matrix."""
        scanner = self.scanner
        first = scanner.peek()
        at: list[int | slice] = [self.actions.take(scanner)]
        scanner.colon("R: action")
        at.append(self.states.take(scanner))
        place = "R: action : state"
        for names in (self.states, self.observations):
            if scanner.peek().text != ":":
                break
            scanner.take()
            at.append(names.take(scanner))
            place += f" : {'next state' if names is self.states else 'observation'}"
        shape = (len(self.states), len(self.observations))[len(at) - 2 :]
        values = self.scanner.array(shape, place)
        whole: list[int | slice] = [*at, *[slice(None)] * (4 - len(at))]
        for axis, names in enumerate((self.actions, self.states, self.states, self.observations)):
            # An axis is told apart from the first statement on that does so.
            apart = not isinstance(whole[axis], slice) or axis >= len(at)
            if apart and self.R.shape[axis] == 1 < len(names):
                self._check_room(self.R.size * len(names), first)
                self.R = np.repeat(self.R, len(names), axis=axis)
        self.R[tuple(whole)] = values

    def _check_room(self, entries: int, word: Word) -> None:
        if entries > MAX_ENTRIES:
            self.scanner.fail(
                word,
                f"the rewards need a table of {entries:,} entries.",
                f"At most {MAX_ENTRIES:,} are kept.",
                "Let rewards depend on less, with * for next state or observation.",
            )

    def _check_sums(self, letter: str, table: np.ndarray, lines: np.ndarray) -> None:
        wrong = np.argwhere(np.abs(table.sum(axis=2) - 1) > SUM_TOLERANCE)
        if not len(wrong):
            return
        a, s = wrong[0]
        name = f"{letter}: {self.actions.names[a]} : {self.states.names[s]}"
        others = len(wrong) - 1
        more = f" The same holds for {others} more row{'s' if others > 1 else ''}." if others else ""
        if not lines[a, s]:
            raise ConfigError(
                f"{self.scanner.file}: no statement gives the row {name}.{more}",
                "What follows an action in a state is a distribution, and this one is all zeros.",
                f"Add a row, such as {name} uniform.",
            )
        self.scanner.distribution(Word("", int(lines[a, s])), name, table[a, s], more)
