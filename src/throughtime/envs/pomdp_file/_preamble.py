"""The head of a .POMDP file: discount, values, states, actions, observations and start."""

import numpy as np

from throughtime.core import did_you_mean
from throughtime.envs.pomdp_file._scanner import RESERVED, STATEMENTS, Names, Scanner, Word

MAX_ENTRIES = 50_000_000  # of the transition table: 400 MB


class Preamble:
    """What has been read of it so far.

    Args:
        scanner: the file.
    """

    def __init__(self, scanner: Scanner):
        self.scanner = scanner
        self.seen: dict[str, Word] = {}
        self.discount, self.sign = 1.0, 1.0
        self.names: dict[str, Names] = {}
        self.initial: np.ndarray | None = None

    def read(self, word: Word) -> None:
        """Reads the statement that `word` begins; there may be one of each."""
        if word.text in self.seen:
            self.scanner.fail(
                word,
                f"{word.text} is stated a second time.",
                f"The first is in line {self.seen[word.text].line}.",
                "Keep one of them.",
            )
        self.seen[word.text] = word
        getattr(self, f"_{word.text}")()

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
            scanner.fail(
                word, "start comes before states.", "Which states there are is not known yet.", "Move it down."
            )
        states = self.names["states"]
        S = len(states)
        if kind:
            chosen = np.zeros(S, bool)
            while not scanner.at_statement():
                chosen[states.index(scanner)] = True
            start = (chosen if kind == "include" else ~chosen).astype(float)
            if not start.any():
                scanner.fail(
                    word, f"start {kind} leaves no state to start from.", "", "Name at least one, and not all."
                )
            self.initial = start / start.sum()
        elif scanner.peek().text == "uniform":
            scanner.take()
            self.initial = np.full(S, 1 / S)
        elif not scanner.is_number() or (S > 1 and self._single_number()):
            self.initial = np.eye(S)[states.index(scanner)]
        else:
            self.initial = scanner.probabilities((S,), "start")
            scanner.distribution(word, "start", self.initial)

    def _single_number(self) -> bool:
        ahead = self.scanner.peek(1).text
        return not ahead or ahead in STATEMENTS

    def start(self) -> np.ndarray:
        """The distribution of the first state; uniform where the file says nothing."""
        S = len(self.names["states"])
        return np.full(S, 1 / S) if self.initial is None else self.initial

    def check_complete(self, word: Word) -> None:
        """Refuses a head in which something is missing, and tables that would be too large."""
        for part in ("discount", "states", "actions", "observations"):
            if part not in self.seen:
                why = "It has to come before the first T, O or R."
                if part == "observations":
                    why += " (A file without observations describes an MDP.)"
                self.scanner.fail(word, f"{part} is missing.", why, f"Write {part}: … at the top.")
        S, A, O = (len(self.names[part]) for part in ("states", "actions", "observations"))  # noqa: E741
        if A * S * max(S, O) > MAX_ENTRIES:
            self.scanner.fail(
                self.seen["states"],
                f"{S:,} states, {A:,} actions and {O:,} observations are too many.",
                f"A table of more than {MAX_ENTRIES:,} probabilities would be needed.",
                "Take a smaller problem.",
            )
