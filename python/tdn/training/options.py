"""A mapping from a YAML file to a frozen dataclass; every mistake is answered with the option's name."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from tdn.errors import TDNError, suggest

Options = TypeVar("Options")


def build_options(kind: type[Options], given: Any, section: str) -> Options:
    """Fill the dataclass ``kind`` from a mapping.

    Raises:
        TDNError: for an unknown option, a missing one, or a value of the wrong type.
    """
    hints = get_type_hints(kind)
    values = {
        name: convert(value, hints[name], f"{section}.{name}")
        for name, value in check_names(given, hints, section).items()
    }
    for field in fields(kind):  # type: ignore[arg-type]
        if field.default is MISSING and field.default_factory is MISSING and field.name not in values:
            raise TDNError(f"option '{field.name}' in {section} is missing; add it to the configuration")
    return kind(**values)


def check_names(given: Any, known: Mapping[str, Any], section: str) -> dict[str, Any]:
    """Return the mapping itself (an empty section is an empty mapping) after looking at its keys."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise TDNError(f"section '{section}' is {given!r}, not a list of options; write 'option: value' lines below it")
    for name in given:
        if name not in known:
            hint = suggest(str(name), known) or f"; known options: {', '.join(sorted(known))}"
            raise TDNError(f"unknown option '{name}' in {section}{hint}")
    return given


def convert(value: Any, hint: Any, name: str) -> Any:
    """Value of an option in the type of its field; text such as 5e-3, which YAML takes for a word, may be a number."""
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    for kind in kinds:
        found, result = try_convert(value, kind)
        if found:
            return result
    wanted = " or ".join(getattr(kind, "__name__", str(kind)).replace("NoneType", "null") for kind in kinds)
    raise TDNError(f"option '{name}' is {value!r}, which is not of type {wanted}; correct the value")


def try_convert(value: Any, kind: Any) -> tuple[bool, Any]:
    """Whether the value can be read as ``kind``, and the result."""
    origin = get_origin(kind) or kind
    if origin is float and not isinstance(value, bool):
        try:
            return True, float(value)
        except (TypeError, ValueError):
            return False, None
    if origin in (tuple, list) and isinstance(value, (list, tuple)):
        return True, origin(value)
    if origin is int and isinstance(value, bool):
        return False, None
    if origin in (dict, Mapping):
        return isinstance(value, dict), value
    if not isinstance(origin, type):  # Literal and the like: the dataclass checks
        return True, value
    return isinstance(value, origin), value
