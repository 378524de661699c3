"""What is seen of a Gymnasium environment: its observation as a vector, less what is hidden, then its action mask."""

from typing import Any, NamedTuple

import numpy as np

from throughtime.core import ConfigError
from throughtime.envs.adapters._layout import ObservationLayout, observation_layout
from throughtime.envs.adapters._mask import KEY, MaskReader


class Sight(NamedTuple):
    """Vectors `[size]` (float32) of what an environment shows."""

    layout: ObservationLayout  # of the whole observation (without the mask, where it is a part of it)
    kept: np.ndarray | None  # which of its numbers are seen; None: all
    mask: MaskReader | None

    @property
    def size(self) -> int:
        """Numbers in all."""
        return len(self.labels) + (self.mask.size if self.mask else 0)

    @property
    def labels(self) -> tuple[str, ...]:
        """A name for each number before the mask."""
        labels = self.layout.labels
        return labels if self.kept is None else tuple(labels[i] for i in self.kept)

    def write(self, env: Any, observation: Any, info: Any, out: np.ndarray, asked: bool = True) -> None:
        """Writes what is seen.

        Args:
            env: the environment, still in the state that it showed.
            observation: as it gave it.
            info: beside it.
            out: `[size]`.
            asked: an action will be asked for: the mask has to allow one.
        """
        if self.mask is not None:
            self.mask.write(env, observation, info, out[-self.mask.size :], asked)
            out = out[: -self.mask.size]
        if self.kept is None:
            self.layout.write(observation, out)
        else:
            whole = np.empty(self.layout.size, np.float32)
            self.layout.write(observation, whole)
            out[:] = whole[self.kept]


def make_sight(space: Any, hidden: str, mask: MaskReader | None, owner: str) -> Sight:
    """The sight of an environment.

    Args:
        space: of its observations.
        hidden: places in the flat observation that are left out, such as "2,3,5"; "" for none.
        mask: how its action masks are read, or None.
        owner: whose it is, for messages.

    Raises:
        ConfigError: a space of no fixed length, or places that it does not have.
    """
    in_observation = mask is not None and mask.source == "observation"
    layout = observation_layout(space, owner, without=KEY if in_observation else None)
    if not hidden.strip():
        return Sight(layout, None, mask)
    words = hidden.replace(",", " ").split()
    places = {int(word) for word in words if word.isdecimal() and int(word) < layout.size}
    if len(places) != len(words) or len(places) == layout.size:
        raise ConfigError(
            f"{owner}: hide = {hidden!r} is impossible.",
            f"It lists places in the flat observation, each once, and not all of 0 … {layout.size - 1}: "
            + ", ".join(f"{i} {label}" for i, label in enumerate(layout.labels[:12]))
            + (", …" if layout.size > 12 else "")
            + ".",
            "Write hide = '2,3', say (--env.hide 2,3).",
        )
    return Sight(layout, np.array([i for i in range(layout.size) if i not in places]), mask)
