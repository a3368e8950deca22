"""Options: typed fields with a meaning, a unit and limits; every error is one sentence with name, value and cure."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin

from pydantic import ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic.config import JsonDict
from pydantic.dataclasses import dataclass
from pydantic.fields import FieldInfo
from pydantic_core import ArgsKwargs

from tdn.errors import TDNError, suggest

Kind = TypeVar("Kind", bound="Options")


def option(
    meaning: str,
    *,
    unit: str = "",
    cure: str = "",
    shown_default: str = "",
    free_on_resume: bool = False,
    **limits: Any,
) -> Any:
    """Everything about an option besides its type and its default.

    Args:
        meaning: description in the manual's table of options.
        unit: unit of the value.
        cure: what to give instead of a bad value; by default it follows from type and limits.
        shown_default: default in the manual, where the value itself says little.
        free_on_resume: whether a resumed run may use another value.
        limits: pydantic's limits of the value: ``gt``, ``ge``, ``lt``, ``le``, ``allow_inf_nan``, ``min_length``.
    """
    extra: JsonDict = {"unit": unit, "cure": cure, "shown_default": shown_default, "free_on_resume": free_on_resume}
    return Field(description=" ".join(meaning.split()), json_schema_extra=extra, **limits)


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class Options:
    """A section of a configuration; a value of another type is refused, not converted, except a number given as text.

    Fields are written ``name: Annotated[type, option("meaning", ...)] = default``. ``__post_init__`` checks what
    concerns several options.
    """

    section: ClassVar[str] = ""  #: its name in the file

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, given: Any) -> Any:
        named = given.kwargs or {} if isinstance(given, ArgsKwargs) else given
        check_names(named, option_names(cls), cls.section)
        n_positions = len(given.args) if isinstance(given, ArgsKwargs) else 0
        for field in list(fields(cls))[n_positions:]:
            if field.default is MISSING and field.default_factory is MISSING and field.name not in named:
                cure = extra_of(option_of(cls, field.name), "cure") or "add it to the configuration"
                raise TDNError(f"option '{field.name}' in {cls.section} is missing; {cure}")
        return given

    @field_validator("*", mode="wrap")
    @classmethod
    def _check_value(cls, value: Any, check: Callable[[Any], Any], info: ValidationInfo) -> Any:
        try:
            return check(value)
        except ValidationError:
            pass
        value = read_as(value)
        try:
            return check(value)
        except ValidationError:
            raise TDNError(refusal(cls, str(info.field_name), value)) from None

    @classmethod
    def from_dict(cls: type[Kind], given: Any) -> Kind:
        """The section from the contents of a file: a mapping, or nothing if all options have defaults."""
        return cls(**check_names(given, option_names(cls), cls.section))


def option_names(kind: type[Options]) -> list[str]:
    """Names of the options of a section."""
    return [field.name for field in fields(kind)]


def option_of(kind: type[Options], name: str) -> FieldInfo:
    """Type, description and limits of an option."""
    found: FieldInfo = kind.__pydantic_fields__[name]  # type: ignore[attr-defined]
    return found


def extra_of(field: FieldInfo, name: str) -> Any:
    """What pydantic has no field for: ``unit``, ``cure``, ``shown_default`` or ``free_on_resume``."""
    extra = field.json_schema_extra
    return extra.get(name, "") if isinstance(extra, dict) else ""


def check_names(given: Any, known: Iterable[str], section: str) -> dict[str, Any]:
    """Return the mapping (empty for an empty section) after checking its keys."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TDNError(f"section '{section}' is {given!r}, not a list of options; write 'option: value' lines below it")
    known = sorted(known)
    for name in given:
        if name not in known:
            hint = suggest(str(name), known) or f"; known options: {', '.join(known)}"
            raise TDNError(f"unknown option '{name}' in {section}{hint}")
    return dict(given)


def read_as(value: Any) -> Any:
    """The value as another type: YAML reads 5e-3 as text, and has no tuples."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return tuple(value) if isinstance(value, list) else value


def refusal(kind: type[Options], name: str, value: Any) -> str:
    """The sentence about a value that is refused."""
    field = option_of(kind, name)
    return f"{kind.section}.{name} is {value!r}; {extra_of(field, 'cure') or cure_of(field)}"


def choices_of(field: FieldInfo) -> tuple[str, ...]:
    """The words that an option may be, if it is a choice."""
    return tuple(word for kind in alternatives(field) if get_origin(kind) is Literal for word in get_args(kind))


def alternatives(field: FieldInfo) -> tuple[Any, ...]:
    """Types that a value may have."""
    hint = field.annotation
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


#: Names of types in messages.
WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", type(None): "null"}


def cure_of(field: FieldInfo) -> str:
    """What to give, derived from the type and the limits of an option."""
    kinds, choices = alternatives(field), choices_of(field)
    if choices:
        return f"use {' or '.join(choices)}{' or null' if type(None) in kinds else ''}"
    limits = {name: getattr(limit, name) for limit in field.metadata for name in LIMITS if hasattr(limit, name)}
    words = [WORDS.get(kind, getattr(kind, "__name__", str(kind))) for kind in kinds]
    return f"give {' or '.join([words[0] + limits_in_words(limits, int in kinds), *words[1:]])}"


LIMITS = ("gt", "ge", "lt", "le")


def limits_in_words(limits: Mapping[str, float], whole: bool) -> str:
    """Limits of a number in words."""
    if set(limits) == {"ge"}:
        return f" of at least {limits['ge']:g}"
    if set(limits) == {"gt"}:
        return f" of at least {limits['gt'] + 1:g}" if whole else f" above {limits['gt']:g}"
    parts = {"gt": "above", "ge": "from", "lt": "to below", "le": "to"}
    return "".join(f" {parts[name]} {limits[name]:g}" for name in LIMITS if name in limits)
