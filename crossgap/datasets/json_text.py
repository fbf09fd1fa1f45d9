"""JSON of the files that a declaration names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def loads(text: str, *, once: bool = False) -> Any:
    """What a JSON text holds, all of it text that UTF-8 can write.

    Args:
        once: no object may have a key twice, of which the last would count.

    Raises:
        json.JSONDecodeError: it is no such JSON.
    """
    try:
        held = json.loads(text, object_pairs_hook=_once if once else None)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise json.JSONDecodeError("nested too deep", text, 0) from None
    except ValueError:  # Python's limit
        raise json.JSONDecodeError("a number of thousands of digits", text, 0) from None
    if "\\ud" in text.lower():
        try:
            json.dumps(held, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            near = error.object[max(0, error.start - 20) : error.end].rpartition('"')[2]
            raise json.JSONDecodeError(f"half a character, near {near!a}", text, 0) from None
    return held


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    held: dict[str, Any] = {}
    for key, value in pairs:
        if key in held:
            raise json.JSONDecodeError(f"{key!r} is given twice", "", 0)
        held[key] = value
    return held
