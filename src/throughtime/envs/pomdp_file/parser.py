"""Reads Cassandra's .POMDP file format into arrays.

A. Cassandra's "POMDP file format" and its grammar (pomdp.org/code): a preamble in any order (discount, values, states,
actions, observations), an optional start, then any number of statements T, O and R, of which later ones override
earlier ones. What is not stated is zero. Every mistake is told with its line.
"""

from pathlib import Path
from typing import NoReturn

import numpy as np

from throughtime.core import ConfigError, did_you_mean
from throughtime.envs.pomdp_file._scanner import PREAMBLE, RESERVED, STATEMENTS, Names, Scanner, Word
from throughtime.envs.pomdp_file.model import Model

SUM_TOLERANCE = 1e-4  # rows are written with few digits; what is this close to one is scaled to it
MAX_ENTRIES = 50_000_000  # of the transition table: 400 MB


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
    return _Parser(Scanner(text, file)).model()


class _Parser:
    def __init__(self, scanner: Scanner):
        self.scanner = scanner
        self.seen: dict[str, Word] = {}  # the statements of which there is one
        self.discount, self.sign = 1.0, 1.0
        self.names: dict[str, Names] = {}
        self.initial: np.ndarray | None = None

    def model(self) -> Model:
        scanner = self.scanner
        while (word := scanner.take()).text:
            if word.text not in STATEMENTS:
                scanner.fail(
                    word, f"{word.text!r} begins no statement.", "", did_you_mean(word.text, STATEMENTS)
                )
            if word.text in ("T", "O", "R"):
                self._begin_tables(word)
                scanner.colon(word.text)
                {"T": self._transition, "O": self._observation, "R": self._reward}[word.text]()
            elif word.text in self.seen:
                scanner.fail(
                    word,
                    f"{word.text} is stated a second time.",
                    f"The first is in line {self.seen[word.text].line}.",
                    "Keep one of them.",
                )
            else:
                self.seen[word.text] = word
                getattr(self, f"_{word.text}")()
        self._begin_tables(scanner.peek())
        self._check_sums("T", self.T, self.T_line, self.states)
        self._check_sums("O", self.O, self.O_line, self.states)
        initial = np.full(len(self.states), 1 / len(self.states)) if self.initial is None else self.initial
        return Model(
            discount=self.discount,
            states=self.states.names,
            actions=self.actions.names,
            observations=self.observations.names,
            initial=initial / initial.sum(),
            transition=self.T / self.T.sum(axis=2, keepdims=True),
            observation=self.O / self.O.sum(axis=2, keepdims=True),
            reward=self.sign * self.R + 0.0,  # no −0
        )

    # The preamble

    def _discount(self) -> None:
        self.scanner.colon("discount")
        word = self.scanner.peek()
        self.discount = self.scanner.number("The discount")
        if not 0.0 <= self.discount <= 1.0:
            self.scanner.fail(word, f"the discount is {word.text}.", "It has to lie between 0 and 1.", "Correct it.")

    def _values(self) -> None:
        self.scanner.colon("values")
        word = self.scanner.take()
        if word.text not in ("reward", "cost"):
            self.scanner.fail(
                word, f"values: {word.text} has no meaning.", "", did_you_mean(word.text, ["reward", "cost"])
            )
        self.sign = 1.0 if word.text == "reward" else -1.0

    def _states(self) -> None:
        self.names["states"] = self._list_of("state")

    def _actions(self) -> None:
        self.names["actions"] = self._list_of("action")

    def _observations(self) -> None:
        self.names["observations"] = self._list_of("observation")

    def _list_of(self, kind: str) -> Names:
        """A count, or a list of names."""
        scanner = self.scanner
        scanner.colon(f"{kind}s")
        first, words = scanner.peek(), []
        while not scanner.at_statement():
            words.append(scanner.take())
        if not words:
            scanner.fail(first, f"{kind}s: nothing follows.", "", f"Give their number, or a name for each {kind}.")
        if first.text[0].isdigit() or first.text[0] in "+-.":
            if len(words) > 1 or not first.text.isdecimal() or int(first.text) < 1:
                scanner.fail(
                    first,
                    f"{kind}s: {' '.join(w.text for w in words[:3])} is neither a count nor a list of names.",
                    "A name does not begin with a digit, and a count is one whole number of at least 1.",
                    f"Give their number, or a name for each {kind}.",
                )
            if int(first.text) > MAX_ENTRIES:
                scanner.fail(first, f"there are {first.text} {kind}s.", "Tables of that size do not fit into memory.")
            return Names(kind, map(str, range(int(first.text))))
        lines: dict[str, int] = {}
        for word in words:
            if not (word.text[0].isalpha() or word.text[0] == "_") or word.text in RESERVED:
                why = "It is a word of the format." if word.text in RESERVED else "A name begins with a letter."
                scanner.fail(word, f"{word.text!r} cannot name a {kind}.", why, "Choose another name.")
            if word.text in lines:
                scanner.fail(
                    word,
                    f"two {kind}s are called {word.text!r}.",
                    f"The first is in line {lines[word.text]}.",
                    "Name them apart.",
                )
            lines[word.text] = word.line
        return Names(kind, lines)

    def _start(self) -> None:
        scanner, kind = self.scanner, ""
        word = scanner.peek()
        if word.text in ("include", "exclude"):
            kind = scanner.take().text
        scanner.colon(f"start {kind}".strip())
        if "states" not in self.names:
            scanner.fail(word, "start comes before states.", "Which states there are is not known yet.", "Move it down.")
        states = self.names["states"]
        S = len(states)
        if kind:
            chosen = np.zeros(S, bool)
            while not scanner.at_statement():
                chosen[states.index(scanner)] = True
            start = (chosen if kind == "include" else ~chosen).astype(float)
            if not start.any():
                scanner.fail(word, f"start {kind} leaves no state to start from.", "", "Name at least one, and not all.")
            self.initial = start / start.sum()
        elif scanner.peek().text == "uniform":
            scanner.take()
            self.initial = np.full(S, 1 / S)
        elif not scanner.is_number() or (S > 1 and self._single_number()):
            self.initial = np.eye(S)[states.index(scanner)]
        else:
            self.initial = self._probabilities((S,), "start")
            if abs(self.initial.sum() - 1) > SUM_TOLERANCE:
                self._fail_sum(scanner.fail, word, "start", self.initial)

    def _single_number(self) -> bool:
        ahead = self.scanner.peek(1).text
        return not ahead or ahead in STATEMENTS

    # Statements

    def _begin_tables(self, word: Word) -> None:
        """Makes room, once the preamble is known."""
        if hasattr(self, "T"):
            return
        for part in ("discount", "states", "actions", "observations"):
            if part not in self.seen:
                why = "It has to come before the first T, O or R."
                if part == "observations":
                    why += " (A file without observations describes an MDP.)"
                self.scanner.fail(word, f"{part} is missing.", why, f"Write {part}: …, after {self._preamble_so_far()}.")
        self.states, self.actions = self.names["states"], self.names["actions"]
        self.observations = self.names["observations"]
        S, A, O = len(self.states), len(self.actions), len(self.observations)  # noqa: E741
        if A * S * max(S, O) > MAX_ENTRIES:
            self.scanner.fail(
                self.seen["states"],
                f"{S:,} states, {A:,} actions and {O:,} observations are too many.",
                f"A table of more than {MAX_ENTRIES:,} probabilities would be needed.",
                "Take a smaller problem.",
            )
        self.T, self.O, self.R = np.zeros((A, S, S)), np.zeros((A, S, O)), np.zeros((1, 1, 1, 1))
        # Where each row was last written; 0: nowhere.
        self.T_line, self.O_line = np.zeros((A, S), int), np.zeros((A, S), int)

    def _preamble_so_far(self) -> str:
        return " and ".join(p for p in PREAMBLE if p in self.seen) or "the comments at the top"

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
                table[a, s, column] = self._probabilities((), f"{place} : {columns.kind}")
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
            S = len(self.states)
            table[a, s] = np.full(S, 1 / S) if self.initial is None else self.initial
        elif word.text in ("identity", "reset"):
            scanner.fail(word, f"{word.text} cannot stand here.", f"{place} needs probabilities.", "Write numbers.")
        else:
            rows = (len(self.states),) if place.endswith("action") else ()
            table[a, s] = self._probabilities((*rows, len(columns)), place)

    def _reward(self) -> None:
        """`action : state : next : observation r`, `… : next` with a row, or `action : state` with a matrix."""
        scanner = self.scanner
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
        values = self._numbers(shape, place)[0]
        whole: list[int | slice] = [*at, *[slice(None)] * (4 - len(at))]
        for axis, names in enumerate((self.actions, self.states, self.states, self.observations)):
            # An axis is told apart from the first statement on that does so.
            apart = not isinstance(whole[axis], slice) or axis >= len(at)
            if apart and self.R.shape[axis] == 1 < len(names):
                self.R = np.repeat(self.R, len(names), axis=axis)
        self.R[tuple(whole)] = values

    # Numbers

    def _numbers(self, shape: tuple[int, ...], place: str) -> tuple[np.ndarray, Word]:
        values, first = self.scanner.numbers()
        count = int(np.prod(shape, dtype=int))
        if len(values) != count:
            size = " × ".join(map(str, shape)) or "1"
            stands = self.scanner.peek()
            after = f" (then {stands.text!r} in line {stands.line})" if stands.text else " (then the file ends)"
            self.scanner.fail(
                first,
                f"{place} is followed by {len(values)} numbers{after}.",
                f"There should be {size}{f' = {count}' if len(shape) > 1 else ''}.",
                "Complete the row or matrix, or correct the counts in the preamble.",
            )
        return np.array(values).reshape(shape), first

    def _probabilities(self, shape: tuple[int, ...], place: str) -> np.ndarray:
        values, first = self._numbers(shape, place)
        outside = (values < 0) | (values > 1)
        if outside.any():
            bad = float(np.extract(outside, values)[0])
            self.scanner.fail(
                first, f"{place} has the entry {bad:g}.", "A probability lies between 0 and 1.", "Correct it."
            )
        return values

    def _check_sums(self, letter: str, table: np.ndarray, lines: np.ndarray, states: Names) -> None:
        wrong = np.argwhere(np.abs(table.sum(axis=2) - 1) > SUM_TOLERANCE)
        if not len(wrong):
            return
        a, s = wrong[0]
        name = f"{letter}: {self.actions.names[a]} : {states.names[s]}"
        more = f" The same holds for {len(wrong) - 1} more rows." if len(wrong) > 1 else ""
        if not lines[a, s]:
            raise ConfigError(
                f"{self.scanner.file}: no statement gives the row {name}.{more}",
                "What follows an action in a state is a distribution, and it is all zeros.",
                f"Add a row, such as {name} uniform.",
            )
        self._fail_sum(self.scanner.fail, Word("", int(lines[a, s])), name, table[a, s], more)

    @staticmethod
    def _fail_sum(fail, word: Word, name: str, row: np.ndarray, more: str = "") -> NoReturn:
        fail(
            word,
            f"the row {name} sums to {row.sum():.6g}.{more}",
            "Its entries are probabilities, so they have to sum to 1. Later statements override earlier ones entry by "
            "entry; an entry that is not stated again stays.",
            "Correct the row, or set the entries that should be zero to 0.",
        )
