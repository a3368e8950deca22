"""The one exception users see: a sentence with cause, value and cure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class TDNError(Exception):
    """Input that cannot be used. The message is one sentence that names the cause, the value and the cure."""


#: Packages of the extra ``train``; running, converting and the ASE calculator do not need them.
TRAINING_PACKAGES = ("torch", "matplotlib")


def needs(package: str | None) -> str:
    """The sentence for a package of the extra ``train`` that is not installed."""
    return f"this needs {package}, which is not installed; install it with pip install '.[train]'"


def suggest(word: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'l_max'?)"`` when ``word`` is close to a known name, else an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def quoted(value: Any, limit: int = 60) -> str:
    """Text or a value from a file, safe for a terminal: escaped as in Python, and shortened."""
    if isinstance(value, (str, bytes)):
        value = value[: 2 * limit]
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else f"{text[: limit - 4]}...{text[-1]}"


def shown(text: str, limit: int = 200) -> str:
    """Foreign text within a sentence, without quotes: escaped and shortened."""
    text = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text[: 2 * limit])
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
