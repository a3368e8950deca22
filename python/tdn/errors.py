"""The one exception users see: a sentence with cause, value and cure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TDNError(Exception):
    """Input that cannot be used. The message is one sentence that names the cause, the value and the cure."""


def suggest(word: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'l_max'?)"`` when ``word`` is close to a known name, else an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""
