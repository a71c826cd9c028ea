"""Frozen dataclasses as canonical JSON bytes: one value has exactly one spelling, and only that spelling is read."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")
JsonValue = Any  # what json.loads gives; every use is checked against a field's type


class BundleError(Exception):
    """A bundle that cannot be read or must not be believed; the message names the file and field."""


def to_bytes(value: object) -> bytes:
    """Sorted keys, no spaces, ASCII, floats in Python's shortest round-trip form; BundleError for NaN, infinity."""
    return json.dumps(_plain(value, ""), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def from_bytes(kind: type[T], data: bytes, where: str) -> T:
    """Read what `to_bytes` wrote. Raises BundleError naming the field that is unknown, missing, mistyped, misspelt."""
    try:
        raw = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where}: not JSON: {error}") from error
    value = _typed(kind, raw, where)
    if to_bytes(value) != data:
        raise BundleError(f"{where}: not canonical (sorted keys, no spaces, no key twice, one spelling of a number)")
    return cast("T", value)


def _no_constant(name: str) -> JsonValue:
    raise ValueError(f"{name} is no number here")


def _plain(value: object, path: str) -> JsonValue:
    if isinstance(value, Enum):
        return value.name
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name), f"{path}.{field.name}") for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BundleError(f"{path.lstrip('.')}: {value} is no number here")
        return float(value) + 0.0  # -0.0 has no spelling of its own
    if value is None or isinstance(value, (str, bool, int)):
        return value
    raise BundleError(f"{path.lstrip('.')}: {type(value).__name__} has no canonical form")


def _typed(kind: Any, raw: JsonValue, where: str) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if raw is None else _typed(next(arg for arg in args if arg is not types.NoneType), raw, where)
    if origin is tuple:
        return tuple(_typed(args[0], item, f"{where}[{index}]") for index, item in enumerate(_expect(list, raw, where)))
    if kind is Any or origin is Mapping:
        return raw if kind is Any else dict(_expect(dict, raw, where))
    if is_dataclass(kind):
        return _dataclass(kind, _expect(dict, raw, where), where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        if raw not in kind.__members__:
            raise BundleError(f"{where}: {raw!r} is none of {', '.join(kind.__members__)}")
        return kind[raw]
    return _expect(kind, raw, where)


def _expect(kind: type, raw: JsonValue, where: str) -> Any:
    if type(raw) is not kind:  # exact: True is no int, 1 is no float
        raise BundleError(f"{where}: expected {kind.__name__}, found {type(raw).__name__}")
    return raw


def _dataclass(kind: Any, raw: dict[str, JsonValue], where: str) -> Any:
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    if unknown := sorted(set(raw) - set(names)):
        raise BundleError(f"{where}.{unknown[0]}: unknown field")
    if missing := [name for name in names if name not in raw]:
        raise BundleError(f"{where}.{missing[0]}: missing field")
    values = {name: _typed(hints[name], raw[name], f"{where}.{name}") for name in names}
    try:
        return kind(**values)
    except ValueError as error:
        raise BundleError(f"{where}.{error}") from error
