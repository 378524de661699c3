"""Where a Gymnasium environment says which of its discrete actions are allowed, and how that is read."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from throughtime.core import ConfigError
from throughtime.envs.base import Box, Discrete, MultiDiscrete, Space

KEY = "action_mask"
Source = Literal["observation", "info", "method"]
SOURCES: tuple[Source, ...] = ("observation", "info", "method")
"""In the order in which they are looked for: a Dict observation's key `action_mask`, `info["action_mask"]`, and the
environment's `action_masks()` (sb3-contrib's convention)."""
WORDS = {
    "observation": f"its observations are no Dict with a key {KEY!r}",
    "info": f"the info of its reset has no {KEY!r}",
    "method": "it has no method action_masks()",
}


class MaskReader(NamedTuple):
    """Reads masks of `size` entries, 1 for what is allowed, one for each choice of the action space."""

    source: Source
    choices: Sequence[int]  # of each action
    owner: str  # for messages

    @property
    def size(self) -> int:
        """Entries in all."""
        return sum(self.choices)

    def write(self, env: Any, observation: Any, info: Any, out: np.ndarray, asked: bool) -> None:
        """Writes the mask that belongs to an observation.

        Args:
            env: the environment, still in the state that it showed.
            observation: as it gave it.
            info: beside it.
            out: `[size]`.
            asked: an action will be asked for; a mask may be missing or empty where none will.

        Raises:
            ConfigError: no mask, one of another length, or none that allows anything.
        """
        found = find_mask(self.source, env, observation, info)
        if found is None:
            if not asked:
                out[:] = 1.0
                return
            raise ConfigError(
                f"{self.owner} gave no action mask.",
                f"It did before; now {WORDS[self.source]}.",
                "Give the mask with every observation, or set masks = none (--env.masks none).",
            )
        mask = flat_mask(found)
        if mask.size != self.size:
            raise ConfigError(
                f"{self.owner}: the action mask has {mask.size} entries, the actions have {self.size}.",
                "It says of each discrete action whether it is allowed (of several side by side, of all choices of the "
                "first, then of the second, …).",
                "Give one entry for each, or set masks = none (--env.masks none).",
            )
        out[:] = mask != 0
        if asked and not all(part.any() for part in np.split(out, np.cumsum(self.choices)[:-1])):
            raise ConfigError(
                f"{self.owner}: the action mask allows no action.",
                "The episode goes on, and some action has to be taken (of several side by side, some choice of each).",
                "Allow at least one, or end the episode.",
            )


def find_mask(source: Source, env: Any, observation: Any, info: Any) -> Any:
    """The mask in one place, as the environment gives it; None where there is none."""
    if source == "method":
        method = _method(env)
        return None if method is None else method()
    holder = observation if source == "observation" else info
    return holder.get(KEY) if isinstance(holder, Mapping) else None


def mask_reader(choice: str, env: Any, observation: Any, info: Any, space: Space, owner: str) -> MaskReader | None:
    """The reader for an environment that has just been reset; None where it tells of no mask.

    Args:
        choice: one of `SOURCES`, "auto" for the first of them that has a mask, "none" for none.
        env: the environment.
        observation: its first.
        info: beside it.
        space: of its actions, as ours.
        owner: whose it is, for messages.

    Raises:
        ConfigError: a source that has no mask, or actions that cannot be masked.
    """
    if choice == "none" or (choice == "auto" and isinstance(space, Box)):
        return None
    if isinstance(space, Box):
        raise ConfigError(
            f"{owner}: masks = {choice!r} beside continuous actions.", "Masks are of discrete ones.", "Leave it out."
        )
    for source in SOURCES:
        if choice in ("auto", source) and find_mask(source, env, observation, info) is not None:
            return MaskReader(source, space.choices, owner)
    if choice == "auto":
        return None
    raise ConfigError(
        f"{owner}: masks = {choice!r}, and there is none.",
        f"{WORDS[choice].capitalize()}.",
        "Give masks there, or leave the option out.",
    )


def first_allowed(space: Discrete | MultiDiscrete, mask: np.ndarray) -> np.ndarray:
    """The allowed action of the lowest number, int32 `[]` or `[K]`."""
    if isinstance(space, Discrete):
        return np.asarray(mask.argmax(), np.int32)
    parts = np.split(mask, np.cumsum(space.sizes)[:-1])
    return np.array([part.argmax() for part in parts], np.int32)


def _method(env: Any) -> Any:
    """`action_masks` of the environment or of what it wraps."""
    while env is not None:
        if callable(method := getattr(env, "action_masks", None)):
            return method
        env = getattr(env, "env", None)
    return None


def flat_mask(mask: Any) -> np.ndarray:
    """A mask as one row; of several actions side by side Gymnasium has a tuple of arrays."""
    parts = mask if isinstance(mask, tuple) else (mask,)
    return np.concatenate([np.reshape(part, -1) for part in parts])
