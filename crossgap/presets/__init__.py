"""Studies as changes of params.yaml, by name: one for each table of the papers, and those of the embedded world."""

from __future__ import annotations

from crossgap.errors import CrossgapError, like
from crossgap.presets.preset import Params, Preset
from crossgap.presets.tables import TABLES
from crossgap.presets.trainings import TRAININGS

PRESETS: dict[str, Preset] = {**TABLES, **TRAININGS}


def applied(name: str, params: Params) -> Params:
    """Params, as read from YAML, with a preset's changes.

    Raises:
        CrossgapError: no preset of this name.
    """
    if name not in PRESETS:
        raise CrossgapError(f"no preset {name!r}{like(name, PRESETS)}; there are {', '.join(PRESETS)}")
    return PRESETS[name].change(params)
