"""How the service spaces its JSON: recommendation rows are compact, segment rows are not."""

from __future__ import annotations

import json
from enum import Enum

import orjson


class Style(Enum):
    """The spacing of an output row; both are observed in real output and neither is configurable there."""

    COMPACT = "compact"  # {"input":{"userId":"1"},"output":{...},"error":null}
    SPACED = "spaced"  # {"input": {"itemId": "1"}, "output": {...}, "error": null}, but no spaces inside the user list

    def dumps(self, value: object) -> bytes:
        """``value`` as JSON in this style: key order kept, UTF-8 unescaped.

        Raises TypeError where ``value`` is nested more than 254 deep, in either style.
        """
        # orjson's depth limit is fixed, json's is what is left of the stack: asking orjson first makes both the same.
        compact = orjson.dumps(value)
        return compact if self is Style.COMPACT else json.dumps(value, ensure_ascii=False).encode()
