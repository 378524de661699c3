"""The SCAN language: what an instruction may say, and the actions that it asks for."""

from collections.abc import Mapping
from functools import cache
from itertools import product
from types import MappingProxyType

from throughtime.core import ConfigError, did_you_mean

MOVES = ("walk", "look", "run", "jump")
WORDS = (*MOVES, "turn", "left", "right", "opposite", "around", "twice", "thrice", "and", "after")
ACTIONS = (*(f"I_{move.upper()}" for move in MOVES), "I_TURN_LEFT", "I_TURN_RIGHT")

Actions = tuple[str, ...]


@cache
def instructions() -> Mapping[str, Actions]:
    """All 20,910 instructions of the grammar, each with its actions.

        C -> S and S | S after S | S                     [[x and y]] = [[x]] [[y]],  [[x after y]] = [[y]] [[x]]
        S -> V twice | V thrice | V                      [[x twice]] = [[x]] [[x]],  [[x thrice]] = [[x]] [[x]] [[x]]
        V -> U | turn D | U D | X opposite D | X around D
        U -> walk | look | run | jump                    [[walk]] = I_WALK, …
        D -> left | right                                [[turn left]] = I_TURN_LEFT, …
        X -> U | turn                                    [[U left]] = [[turn left]] [[U]]

    `U opposite left` turns left twice and then does U, `U around left` does `U left` four times; with `turn` for U
    there are the turns alone.

    Reference: Lake & Baroni 2018, "Generalization without systematicity", arXiv 1711.00350, figures 6 and 7.
    """
    clauses = [
        (f"{verb}{adverb}", times * actions)
        for verb, actions in _verbs()
        for adverb, times in (("", 1), (" twice", 2), (" thrice", 3))
    ]
    pairs = list(product(clauses, repeat=2))
    return MappingProxyType(
        dict(clauses)
        | {f"{x} and {y}": first + second for (x, first), (y, second) in pairs}
        | {f"{x} after {y}": second + first for (x, first), (y, second) in pairs}
    )


def _verbs() -> list[tuple[str, Actions]]:
    """The 34 verb phrases V."""
    found: list[tuple[str, Actions]] = [(move, (f"I_{move.upper()}",)) for move in MOVES]
    for side in ("left", "right"):
        turn: Actions = (f"I_TURN_{side.upper()}",)
        found += [(f"turn {side}", turn), (f"turn opposite {side}", 2 * turn), (f"turn around {side}", 4 * turn)]
        for move in MOVES:
            done: Actions = (f"I_{move.upper()}",)
            found += [
                (f"{move} {side}", turn + done),
                (f"{move} opposite {side}", 2 * turn + done),
                (f"{move} around {side}", 4 * (turn + done)),
            ]
    return found


def interpret(instruction: str) -> Actions:
    """The actions that an instruction asks for.

    Args:
        instruction: words of the grammar, with blanks between them.

    Raises:
        ConfigError: a word that no instruction has (with the nearest one that some have), or words in an order that
            the grammar does not make.
    """
    words = check_words(instruction)
    actions = instructions().get(" ".join(words))
    if actions is None:
        raise ConfigError(
            f"{instruction!r} is not an instruction",
            "All its words are known, but the grammar does not put them in this order.",
            "For example: jump; turn left twice; walk around left thrice and run opposite right.",
        )
    return actions


def check_words(instruction: str) -> list[str]:
    """The words of an instruction.

    Raises:
        ConfigError: there are none, or one is not of the language.
    """
    words = instruction.lower().split()
    if not words:
        raise ConfigError("an instruction without words", "It asks for nothing.", "For example: jump twice.")
    for word in words:
        if word not in WORDS:
            raise ConfigError(
                f"unknown word {word!r} in the instruction {instruction!r}", "", did_you_mean(word, WORDS)
            )
    return words
