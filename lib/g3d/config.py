"""Settings: a frozen dataclass <=> JSON, and `--set key=value` against it, typed, with nothing accepted and ignored."""

import dataclasses
import types
from collections.abc import Iterable, Mapping
from dataclasses import Field, field, fields
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from g3d.errors import G3dError, closest, did_you_mean

C = TypeVar("C")


_SAME: Any = object()


def setting(default: Any, doc: str, *, low: float | None = None, high: float | None = None, before: Any = _SAME) -> Any:
    """A field of a settings class: its default, one line of documentation (unit, source) and its closed range.

    A run that was begun before there was this setting is resumed as one that has it at `before`: what runs did then. That is
    the default, unless a new setting, or a new default, changes what runs do without it."""
    told = {"doc": doc, "low": low, "high": high}
    return field(default=default, metadata=told if before is _SAME else {**told, "before": before})


def override(config: C, pairs: Iterable[str], owner: str) -> C:
    """`config` with `key=value` pairs applied. `owner` names the settings in messages, e.g. 'mnif'."""
    changes: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise G3dError(
                f"--set '{pair}' is not of the form key=value; write e.g. --set {next(iter(names(config)))}=…"
            )
        changes[key.strip()] = text.strip()
    return from_json(type(config), {**as_json(config), **changes}, owner, changed=changes)


def ordered(config: Any) -> "list[Field[Any]]":
    """The fields of a settings class or object: its own first, then those that it shares with others (of a base class)."""
    cls = config if isinstance(config, type) else type(config)
    shared = {f.name for base in cls.__mro__[1:] if dataclasses.is_dataclass(base) for f in fields(base)}
    return sorted(fields(config), key=lambda f: f.name in shared)


def names(config: Any) -> list[str]:
    """The settings of a settings class or object, in order."""
    return [f.name for f in ordered(config)]


def as_json(config: Any) -> dict[str, Any]:
    """A settings object => plain JSON values (tuples become lists)."""
    return {f.name: _plain(getattr(config, f.name)) for f in ordered(config)}


def before(config: Any) -> dict[str, Any]:
    """Of every setting what a run did that was begun before there was this setting, as plain JSON values."""
    found = {}
    for spec in ordered(config):
        if "before" in spec.metadata:
            found[spec.name] = _plain(spec.metadata["before"])
        elif spec.default is not dataclasses.MISSING:  # of another package it may have none
            found[spec.name] = _plain(spec.default)
    return found


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def from_json(cls: type[C], data: Mapping[str, Any], owner: str, changed: Mapping[str, Any] | None = None) -> C:
    """JSON values => a settings object; unknown names, wrong types and values out of range are refused by name.

    `changed` is what the user gave, when only a part of `data` is theirs.
    """
    if not isinstance(data, Mapping):
        raise G3dError(f"{owner}: its settings are {str(data)[:80]!r}, not a table of values by name; fit it again")
    hints = get_type_hints(cls)
    table: dict[str, Field[Any]] = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    for key in changed if changed is not None else data:
        if key not in table:
            raise G3dError(f"{owner} has no setting '{key}'{did_you_mean(key, table)}; see --dry-run for all of them")
    values: dict[str, Any] = {}
    for name, spec in table.items():
        if name not in data:
            continue
        value = _convert(data[name], hints[name], f"{owner} setting '{name}'")
        _check_range(value, spec, f"{owner} setting '{name}'")
        values[name] = value
    try:
        return cls(**values)
    except ValueError as error:  # a settings class may check combinations in __post_init__
        raise G3dError(f"{owner}: {error}") from error


def preset(presets: Mapping[str, C], name: str, owner: str) -> C:
    """The preset `name`, or a sentence with the names that there are."""
    if name not in presets:
        raise G3dError(f"{owner} has no preset '{name}'{closest(name, presets)}; presets: {', '.join(presets)}")
    return presets[name]


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`name: old -> new` for every setting that differs."""
    keys = sorted({*old, *new})
    return [f"{k}: {old.get(k)} -> {new.get(k)}" for k in keys if old.get(k) != new.get(k)]


def _convert(value: Any, hint: Any, where: str) -> Any:
    """A JSON value or the text of `--set` => the annotated type."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        if value is None or (isinstance(value, str) and value.lower() in ("none", "null")):
            if type(None) in get_args(hint):
                return None
            raise G3dError(f"{where} cannot be none; give a value")
        inner = [a for a in get_args(hint) if a is not type(None)]
        return _convert(value, inner[0], where)
    if origin is Literal:
        allowed = get_args(hint)
        for choice in allowed:
            if str(value) == str(choice):
                return choice
        close = closest(str(value), [str(a) for a in allowed])
        raise G3dError(f"{where} is '{value}'{close}; allowed: {', '.join(str(a) for a in allowed)}")
    if origin is tuple:
        items = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
        return tuple(
            _convert(v.strip() if isinstance(v, str) else v, get_args(hint)[0], where) for v in items if v != ""
        )
    return _scalar(value, hint, where)


def _scalar(value: Any, hint: Any, where: str) -> Any:
    wanted = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}.get(hint)
    if wanted is None:
        raise TypeError(f"{where}: settings of type {hint} are not supported")
    text = str(value).strip()
    try:
        if hint is bool:
            return {
                "true": True,
                "1": True,
                "yes": True,
                "on": True,
                "false": False,
                "0": False,
                "no": False,
                "off": False,
            }[text.lower()]
        if hint is int:
            number = float(text)
            if number != int(number):
                raise ValueError
            return int(text) if text.lstrip("+-").isdigit() else int(number)
        if hint is float and not abs(float(text)) < float("inf"):
            raise ValueError
        return hint(text)
    except (ValueError, KeyError, OverflowError) as error:
        raise G3dError(f"{where} is '{value}', which is not {wanted}") from error


def _check_range(value: Any, spec: "Field[Any]", where: str) -> None:
    low, high = spec.metadata.get("low"), spec.metadata.get("high")
    for one in value if isinstance(value, tuple) else (value,):
        if isinstance(one, bool) or not isinstance(one, int | float):
            continue
        if low is not None and one < low:
            raise G3dError(f"{where} is {one}; it must be at least {low}")
        if high is not None and one > high:
            raise G3dError(f"{where} is {one}; it must be at most {high}")


def describe(config: Any) -> list[tuple[str, Any, str]]:
    """(name, value, documentation) of every setting, for `--dry-run` and `info`."""
    assert dataclasses.is_dataclass(config)
    return [(f.name, getattr(config, f.name), f.metadata.get("doc", "")) for f in ordered(config)]
