"""Checks a table of the file against its schema: unknown and missing keys, wrong types, values out of bounds.

Every error names the key, its value and what would be valid. The value of a token is never shown.
"""

import difflib
import re
import types
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from ..rules.shown import shown
from .errors import Faults, KeyPath, WrongKeyError
from .schema import File, fields_of, keys_of

_Table = TypeVar("_Table", bound=msgspec.Struct)

_SECRET = ("token", "token_sha256")
_INDEX = re.compile(r"\$\[\d+\]")
_PLAIN: dict[object, str] = {bool: "true or false", str: "a string", int: "a whole number", float: "a number"}
_SUGGESTIONS = 100
"""Of a file: what an unknown key may mean is looked for while there are fewer faults. Each takes a third of a ms."""


def read(kind: type[_Table], table: object, faults: Faults, path: KeyPath = ()) -> _Table:
    """The table as `kind`. What is wrong goes to `faults`: such a key has its default, or UNSET if it has none.

    Wrong elements of a list stay in it. Use `Faults.check`, which passes over them.
    """
    values: dict[str, object] = {info.name: msgspec.UNSET for info in fields_of(kind) if info.required}
    if not isinstance(table, Mapping):
        faults.add(WrongKeyError(path, f"{_value_of(path, table)} is not valid; write a table"))
        return kind(**values)
    keys = keys_of(kind)
    meant: set[str] = set()
    for name in table:
        if name not in keys:
            near = _nearest(kind, name) if len(faults.found) < _SUGGESTIONS else []
            meant.update(near)
            hint = _hint(kind, name, near)
            valid_keys = ", ".join(sorted(keys))
            faults.add(WrongKeyError((*path, name), f"unknown key{hint}; valid keys: {valid_keys}"))
    for name in meant.difference(table):
        faults.pass_over((*path, name))
    for name in values:
        if name not in table and name not in meant and (*path, name) not in faults:
            faults.add(WrongKeyError(path, f"{name} is missing"), about=(*path, name))
    for name, value in table.items():
        if name in keys:
            converted = convert(keys[name], value, faults, where := (*path, name))
            if where not in faults:
                values[name] = converted
    return kind(**values)


def convert(kind: object, value: object, faults: Faults, path: KeyPath) -> object:
    """One value as its key's type. If it is wrong, that goes to `faults`."""
    for option in _options(kind):
        if isinstance(option, type) and issubclass(option, msgspec.Struct):
            return read(option, value, faults, path)
        if get_origin(option) is list and isinstance(item := get_args(option)[0], type) and _is_table(item):
            if not isinstance(value, list):
                text = f"{_value_of(path, value)} is not valid; write [[{path[-1]}]] tables"
                faults.add(WrongKeyError(path, text))
                return None
            return [read(item, element, faults, (*path, index)) for index, element in enumerate(value)]
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        if isinstance(value, list) and _INDEX.search(str(error)):
            for index, element in enumerate(value):
                if not _fits(kind, [element]):
                    text = f"{_value_of(path, element)} is not valid; valid: {valid(kind, element=True)}"
                    faults.add(WrongKeyError((*path, index), text))
            return value
        faults.add(WrongKeyError(path, f"{_value_of(path, value)} is not valid; valid: {valid(kind)}"))
        return None


def _fits(kind: object, value: object) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


@cache
def valid(kind: object, *, element: bool = False) -> str:
    """What values a type allows, in words."""
    options = _options(kind)
    if element:
        options = tuple(get_args(_bare(option))[0] for option in options if get_origin(_bare(option)) is list)
    return " or ".join(filter(None, map(_described, options)))


def _described(option: object) -> str:
    if get_origin(option) is Annotated:
        return next((meta.description for meta in get_args(option)[1:] if meta.description), "")
    if get_origin(option) is Literal:
        return " or ".join(f'"{value}"' for value in get_args(option))
    if get_origin(option) is list:
        return "a list of strings"
    if get_origin(option) is dict:
        return 'a table of strings, like { name = "value" }'
    return _PLAIN.get(option, "")  # neither None nor UNSET can be written


def _options(kind: object) -> tuple[object, ...]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _bare(kind: object) -> object:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _is_table(kind: type) -> bool:
    return issubclass(kind, msgspec.Struct)


def _value_of(path: KeyPath, value: object) -> str:
    """The value for an error text, unless it may be secret: a token, a malformed entry, a header value."""
    last = path[-1] if path else ""
    if path[:2] == ("cluster", "servers"):  # a URL may have a password in it
        return "the value"
    if (path[:1] == ("agents",) and (len(path) < 3 or last in _SECRET)) or last == "set" or "set" in path[:-1]:
        return "the value"
    return shown(value)


def _nearest(kind: type[msgspec.Struct], name: str) -> list[str]:
    """The key that was meant, if one is like it."""
    return difflib.get_close_matches(name, keys_of(kind), n=1)


def _hint(kind: type[msgspec.Struct], name: str, near: list[str]) -> str:
    if kind is File and name == "admin_token":
        return " in this file; set the variable GATEWAY_ADMIN_TOKEN, or name a file with the token in admin_token_file"
    return f", did you mean {near[0]}?" if near else ""
