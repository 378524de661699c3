"""Frozen dataclasses to TOML and back.

A config is a (nested) dataclass of int, float, bool, str, `Literal`, `X | None`, `tuple`, `dict[str, ...]`
and other dataclasses. Whatever is read is checked against the annotations; nothing is ever evaluated.

TOML has no null. A field that is None is left out where None is its default, and otherwise written as the
word "none", which is read as None wherever the field is optional and may not have that very word as its
value.
"""

import dataclasses
import tomllib
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import tomli_w

from throughtime.core import ConfigError, did_you_mean

Config = TypeVar("Config")

NONE = "none"

_NAMES = {bool: "boolean", int: "integer", float: "float", str: "string", NoneType: NONE}
_EXAMPLES = {bool: "true", int: "64", float: "0.5", str: '"text"'}


def to_toml(config: Any) -> str:
    """A config as TOML text that `from_toml` reads back to an equal config.

    Args:
        config: an instance of a dataclass.

    Raises:
        ConfigError: a value that TOML cannot hold, named by its dotted path.
    """
    return tomli_w.dumps(to_dict(config))


def from_toml(text: str, cls: type[Config]) -> Config:
    """The config that a TOML text describes; fields that it leaves out have their defaults.

    Args:
        text: TOML.
        cls: the dataclass to build.

    Raises:
        ConfigError: no TOML (tells line and column), an unknown or missing field, or a wrong type.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("This is not valid TOML.", f"{error}.", "Correct that line.") from error
    return from_dict(values, cls)


def to_dict(config: Any, path: str = "") -> dict[str, Any]:
    """A config as nested dicts of what TOML can hold.

    Args:
        config: an instance of a dataclass.
        path: dotted path of `config` in the whole, for messages.

    Raises:
        ConfigError: a value that TOML cannot hold, named by its dotted path.
    """
    values = {}
    kinds = get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), _join(path, field.name)
        if value is not None:
            values[field.name] = _plain(value, name)
        elif field.default is not None and not _is_required(field):
            if _convert(NONE, kinds[field.name], name) is not None:
                raise ConfigError(
                    f"{name} = None cannot be written as TOML.",
                    f'None is not its default, and the word "{NONE}" is a value that it may have.',
                    "Make None the default of this field.",
                )
            values[field.name] = NONE
    return values


def from_dict(values: Mapping[str, Any], cls: type[Config], path: str = "") -> Config:
    """The config that nested dicts describe; fields that they leave out have their defaults.

    Args:
        values: as `to_dict` or a TOML parser returns them.
        cls: the dataclass to build.
        path: dotted path of `values` in the whole, for messages.

    Raises:
        ConfigError: an unknown or missing field, or a value of the wrong type, named by its dotted path.
    """
    kind: Any = cls
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    kinds = get_type_hints(cls)
    for name in values:
        if name not in fields:
            what = f"Unknown field {_join(path, name)!r}."
            raise ConfigError(what, f"{cls.__name__} has no such field.", did_you_mean(name, fields))
    found = {name: _convert(value, kinds[name], _join(path, name)) for name, value in values.items()}
    for name, field in fields.items():
        if name not in found and _is_required(field):
            if NoneType not in get_args(kinds[name]):
                what = f"The field {_join(path, name)!r} is missing."
                raise ConfigError(what, "It has no default.", f"Set it to {_describe(kinds[name])}.")
            found[name] = None
    return cls(**found)


def replace_fields(config: Config, changes: Mapping[str, Any]) -> Config:
    """A copy with some fields changed, all at once: checks between fields see only the final values.

    Args:
        config: an instance of a dataclass.
        changes: dotted path -> new value, for example `{"ppo.learning_rate": 1e-3}`.

    Raises:
        ConfigError: an unknown field or a value of the wrong type, named by its dotted path.
    """
    values = to_dict(config)
    for path, value in changes.items():
        *tables, name = path.split(".")
        table = values
        for depth, part in enumerate(tables):
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                what = f"Unknown field {path!r}."
                raise ConfigError(what, f"{'.'.join(tables[: depth + 1])!r} is a value, not a table of fields.")
        table[name] = value
    return from_dict(values, type(config))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _is_required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _plain(value: Any, path: str) -> Any:
    """`value` as TOML holds it."""
    if dataclasses.is_dataclass(value):
        return to_dict(value, path)
    if isinstance(value, tuple | list):
        return [_plain(item, f"{path}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {key: _plain(item, _join(path, key)) for key, item in value.items()}
    if type(value) in _EXAMPLES:
        return value
    raise ConfigError(
        f"{path} = {value!r} cannot be written as TOML.",
        f"It is a {type(value).__name__}.",
        "A config holds booleans, integers, floats, strings, tuples, tables and dataclasses.",
    )


def _convert(value: Any, kind: Any, path: str) -> Any:
    """`value` as the annotation `kind` wants it, or a ConfigError that names `path`."""
    origin, kinds = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if isinstance(value, kind):
            return value
        if isinstance(value, Mapping):
            return from_dict(value, kind, path)
    if origin in (Union, UnionType):
        return _convert_union(value, kind, path)
    if origin is Literal:
        for choice in kinds:
            if type(choice) is type(value) and choice == value:
                return value
        raise _wrong_choice(value, kinds, path)
    if origin is tuple and isinstance(value, tuple | list):
        if len(kinds) == 2 and kinds[1] is Ellipsis:
            kinds = (kinds[0],) * len(value)
        if len(kinds) == len(value):
            return tuple(
                _convert(item, k, f"{path}[{i}]") for i, (item, k) in enumerate(zip(value, kinds, strict=True))
            )
    if origin is dict and isinstance(value, Mapping):
        return {key: _convert(item, kinds[1], _join(path, key)) for key, item in value.items()}
    if kind is float and type(value) is int:
        try:
            return float(value)
        except OverflowError as error:
            raise _wrong_type(value, kind, path) from error
    if type(value) is kind:  # exact, for bool is a subclass of int
        return value
    raise _wrong_type(value, kind, path)


def _convert_union(value: Any, union: Any, path: str) -> Any:
    kinds = get_args(union)
    if type(value) in kinds:
        return value
    inner = tuple(kind for kind in kinds if kind is not NoneType)
    for kind in inner:
        try:
            return _convert(value, kind, path)
        except ConfigError:
            if len(inner) == 1 and value != NONE:
                raise
    if value == NONE and NoneType in kinds:
        return None
    raise _wrong_type(value, union, path)


def _wrong_choice(value: Any, choices: tuple[Any, ...], path: str) -> ConfigError:
    what = f"{path} = {value!r} is not one of its choices."
    if isinstance(value, str) and all(isinstance(choice, str) for choice in choices):
        return ConfigError(what, "", did_you_mean(value, choices))
    return ConfigError(what, "", f"Known: {', '.join(repr(choice) for choice in choices)}.")


def _wrong_type(value: Any, kind: Any, path: str) -> ConfigError:
    given = _NAMES.get(type(value), "table" if isinstance(value, Mapping) else type(value).__name__)
    example = _EXAMPLES.get(kind)
    mend = f"Write for example {path.rpartition('.')[2]} = {example}." if example else ""
    return ConfigError(f"{path} = {value!r} is of type {given}.", f"It has to be {_describe(kind)}.", mend)


def _describe(kind: Any) -> str:
    """An annotation in TOML's words."""
    origin, kinds = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(_describe(k) for k in kinds)
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in kinds)
    if origin is tuple:
        if len(kinds) == 2 and kinds[1] is Ellipsis:
            return f"an array, each element {_describe(kinds[0])}"
        return f"an array of {len(kinds)}: " + ", ".join(_describe(k) for k in kinds)
    if origin is dict:
        return f"a table, each value {_describe(kinds[1])}"
    if dataclasses.is_dataclass(kind):
        return "a table with the fields of " + getattr(kind, "__name__", "it")
    return _NAMES.get(kind, str(kind))
