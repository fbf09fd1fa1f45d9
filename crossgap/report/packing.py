"""How the page holds its data."""

from __future__ import annotations

import base64
import gzip
import json


def packed_json(content: object) -> str:
    """Compact JSON, compressed by gzip and written in base64, of which no sign means anything to HTML."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode("ascii")
