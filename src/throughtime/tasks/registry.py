"""The supervised tasks by name."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from throughtime.core import ConfigError, did_you_mean
from throughtime.tasks.adding import Adding
from throughtime.tasks.base import Task
from throughtime.tasks.behaviour import Behaviour
from throughtime.tasks.captions import Captions
from throughtime.tasks.cloning import Cloning
from throughtime.tasks.copy_memory import CopyMemory
from throughtime.tasks.counting import Counting
from throughtime.tasks.dates import DatesToISO
from throughtime.tasks.digits import DigitPixels, DigitRows, Digits
from throughtime.tasks.echo import Echo
from throughtime.tasks.melody import Melody
from throughtime.tasks.reverse import Reverse
from throughtime.tasks.scan import Scan
from throughtime.tasks.sentiment import Sentiment
from throughtime.tasks.video import VideoDirections

_TASKS: tuple[type[Task], ...] = (
    Adding,
    Behaviour,
    Captions,
    Cloning,
    CopyMemory,
    Counting,
    DatesToISO,
    Digits,
    DigitPixels,
    DigitRows,
    Echo,
    Melody,
    Reverse,
    Scan,
    Sentiment,
    VideoDirections,
)

TASKS: Mapping[str, type[Task]] = MappingProxyType({task.name: task for task in _TASKS})


def make_task(name: str, **options: Any) -> Task:
    """A task by name.

    Args:
        name: one of `TASKS`.
        **options: the task's own, for example `length=600`.

    Raises:
        ConfigError: no task has this name, no option has that one, or a value is impossible.
    """
    if name not in TASKS:
        raise ConfigError(f"There is no task {name!r}.", "", did_you_mean(name, TASKS))
    known = TASKS[name].__dataclass_fields__  # pyright: ignore[reportAttributeAccessIssue]
    for option in options:
        if option not in known:
            raise ConfigError(f"unknown option {option!r} of task {name!r}", "", did_you_mean(option, known))
    return TASKS[name](**options)
