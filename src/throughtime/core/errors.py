"""Errors for people: what is wrong, why, and how to mend it."""

import difflib
from collections.abc import Iterable


class ThroughtimeError(Exception):
    """The base of every error that this library raises on purpose.

    Args:
        what: what is wrong, with the offending value.
        why: why that cannot work (may be empty).
        mend: what to do instead (may be empty).
    """

    def __init__(self, what: str, why: str = "", mend: str = ""):
        self.what, self.why, self.mend = what, why, mend
        super().__init__("\n".join(part for part in (what, why, mend) if part))


class ConfigError(ThroughtimeError, ValueError):
    """A setting that is unknown, of the wrong type or impossible beside another one."""


class CheckpointError(ThroughtimeError, ValueError):
    """A checkpoint that is corrupt, truncated, foreign or of another network."""


class RunFolderError(ThroughtimeError, OSError):
    """A run folder that exists already, is locked by another process or cannot be written."""


class NonFiniteError(ThroughtimeError, ArithmeticError):
    """A NaN or an infinity where a number has to be (observation, reward, loss)."""


class PreflightError(ThroughtimeError, AssertionError):
    """The agent does not replay what it acted: its state boundary is broken."""


class EnvironmentStepError(ThroughtimeError, RuntimeError):
    """A Python environment that raised, hung, or whose process died, more often than it may be restarted."""


def require(holds: bool, what: str, why: str, mend: str = "") -> None:
    """Nothing where a setting `holds`, else a `ConfigError`.

    Args:
        holds: whether it does.
        what: what is wrong, with the offending value.
        why: why that cannot work.
        mend: what to do instead.

    Raises:
        ConfigError: it does not hold.
    """
    if not holds:
        raise ConfigError(what, why, mend)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence that lists what is known and, where one is near, suggests it.

    Args:
        word: what the user wrote.
        known: the words that would have been right.

    Returns:
        For example "Did you mean 'gru'? Known: elman, gru, lstm."
    """
    known = sorted(known)
    near = difflib.get_close_matches(word.lower(), [k.lower() for k in known], n=1, cutoff=0.5)
    hint = ""
    if near:
        match = next(k for k in known if k.lower() == near[0])
        hint = f"Did you mean {match!r}? "
    return f"{hint}Known: {', '.join(known)}."
