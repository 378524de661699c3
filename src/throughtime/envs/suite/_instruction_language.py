"""What an instruction of the suite's room may say: words, clauses, and which instructions are held out of training."""

from functools import cache
from itertools import product
from typing import Literal, NamedTuple

from throughtime.core import ConfigError, did_you_mean

VERBS = ("go to", "pick up", "open")
COLOURS = ("red", "green", "blue", "yellow")
KINDS = ("ball", "box", "key", "door")
VOCABULARY = ("go", "to", "pick", "up", "open", "the", *COLOURS, *KINDS, "then", "before", "after", "you")
MOST_WORDS = 12
ALLOWED = {"go to": KINDS, "pick up": ("ball", "box", "key"), "open": ("box", "door")}

Split = Literal["train", "unseen", "composed", "composed-unseen"]
SPLITS: tuple[Split, ...] = ("train", "unseen", "composed", "composed-unseen")


class Clause(NamedTuple):
    """One thing to do: numbers of `VERBS`, `COLOURS` and `KINDS`."""

    verb: int
    colour: int
    kind: int

    @property
    def text(self) -> str:
        """For example "pick up the red ball"."""
        return f"{VERBS[self.verb]} the {COLOURS[self.colour]} {KINDS[self.kind]}"

    @property
    def held_out(self) -> bool:
        """Nine of the 36: of a colour and a kind at most one verb, so that each two of the three are seen together."""
        return (self.verb + self.colour + self.kind) % 4 == 0


class Instruction(NamedTuple):
    """One clause, or two in the order in which they are to be done."""

    text: str
    clauses: tuple[Clause, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """Without the comma."""
        return tuple(self.text.replace(",", "").split())


@cache
def clauses() -> tuple[Clause, ...]:
    """All 36: four kinds to go to, three to pick up, two to open, in four colours."""
    return tuple(
        Clause(verb, colour, KINDS.index(kind))
        for verb, word in enumerate(VERBS)
        for colour in range(len(COLOURS))
        for kind in ALLOWED[word]
    )


@cache
def instructions(split: Split) -> tuple[Instruction, ...]:
    """The instructions of a split, those of one clause first.

        I -> C | C, then C | C before you C | C after you C        [[x after you y]] = [[y]] [[x]]
        C -> go to the N | pick up the N | open the N              N -> colour kind

    The two clauses of an instruction are of different objects. `train` has the 27 clauses that are not held out, alone
    and in pairs; `unseen` the other nine, alone; `composed` pairs of training clauses that training never has in one
    instruction, in neither order (a quarter of all); `composed-unseen` pairs with a held-out clause in them.
    """
    singles = [Instruction(c.text, (c,)) for c in clauses() if c.held_out == (split == "unseen")]
    if split == "unseen":
        return tuple(singles)
    pairs = [
        Instruction(text, (a, b))
        for a, b in product(clauses(), repeat=2)
        if a[1:] != b[1:] and _split_of_pair(a, b) == split
        for text in (f"{a.text}, then {b.text}", f"{a.text} before you {b.text}", f"{b.text} after you {a.text}")
    ]
    return tuple(singles + pairs if split == "train" else pairs)


def _split_of_pair(a: Clause, b: Clause) -> Split:
    if a.held_out or b.held_out:
        return "composed-unseen"
    return "composed" if (clauses().index(a) + clauses().index(b)) % 4 == 0 else "train"


def split_of(name: str, owner: str) -> Split:
    """A split by name.

    Raises:
        ConfigError: there is none of that name.
    """
    for split in SPLITS:
        if split == name:
            return split
    raise ConfigError(
        f"{owner}: split = {name!r} is impossible.",
        "It says which instructions are drawn.",
        f"split: {did_you_mean(name, SPLITS)}",
    )


@cache
def _by_words() -> dict[tuple[str, ...], Instruction]:
    return {instruction.words: instruction for split in SPLITS for instruction in instructions(split)}


def parse(text: str, owner: str) -> Instruction:
    """What a person wrote, as an instruction.

    Args:
        text: words of the grammar; commas and full stops are ignored, case too.
        owner: whose option `instruction` it is, for messages.

    Raises:
        ConfigError: a word that no instruction has (with the nearest one that some have), or words in an order that the
            grammar does not make.
    """
    words = tuple(text.lower().replace(",", " ").replace(".", " ").split())
    what = f"{owner}: instruction = {text!r} is impossible."
    for word in words:
        if word not in VOCABULARY:
            near = did_you_mean(word, VOCABULARY)
            raise ConfigError(what, f"No instruction has the word {word!r}.", f"In instruction: {near}")
    if words not in _by_words():
        raise ConfigError(
            what,
            "All its words are known, but the grammar does not put them in this order; its objects have to differ.",
            "An instruction is, for example: pick up the red ball; go to the red ball, then open the blue door.",
        )
    return _by_words()[words]
