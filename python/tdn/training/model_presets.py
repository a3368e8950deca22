"""Named models of the md setting, from cheap to accurate.

Each is on the frontier of error against time per atom and step that benchmarks/accuracy measured (acetylacetone): no
model that was tried errs less in the same time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tdn.errors import TDNError, suggest

#: Option of the model section that names one.
KEY = "preset"
PRESETS: dict[str, dict[str, Any]] = {
    "md-small": {"l_max": 1, "n_channels": 32, "n_layers": 2, "n_heads": 4},
    "md-medium": {"l_max": 2, "n_channels": 32, "n_layers": 2, "n_heads": 4},
    "md-large": {"l_max": 2, "n_channels": 64, "n_layers": 3, "n_heads": 4},
}


def with_preset(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a model section, with those of its preset where it does not give its own.

    Raises:
        TDNError: an unknown name, or a preset beside another setting than md.
    """
    options = {option: value for option, value in given.items() if option != KEY}
    name = given.get(KEY)
    if name is None:
        return options
    if name not in PRESETS:
        raise TDNError(f"model.preset is {name!r}{suggest(str(name), PRESETS)}; use one of {', '.join(PRESETS)}")
    if options.get("setting", "md") != "md":
        setting = options["setting"]
        raise TDNError(f"model.preset {name} is of the setting md but model.setting is {setting!r}: drop one")
    return {**PRESETS[name], **options}
