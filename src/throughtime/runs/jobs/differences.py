"""In what two configs differ, for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from throughtime.runs.toml import to_dict

MOST = 4


def differences(old: Any, new: Any) -> str:
    """The fields that differ, with both values: "ppo.clip is 0.2 there and 0.1 here".

    Args:
        old: a config.
        new: another one of the same kind.
    """
    a, b = dict(flatten(to_dict(old))), dict(flatten(to_dict(new)))
    said = [
        f"{name} is {_show(a, name)} there and {_show(b, name)} here"
        for name in dict.fromkeys([*a, *b])
        if (name in a) != (name in b) or a.get(name) != b.get(name)
    ]
    return ", ".join(said[:MOST]) + (f", and {len(said) - MOST} more" if len(said) > MOST else "")


def flatten(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Nested tables as (dotted path, value)."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _show(values: Mapping[str, Any], name: str) -> str:
    return repr(values[name]) if name in values else "not set"
