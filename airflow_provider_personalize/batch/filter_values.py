r"""The ``filterValues`` of a row: one string a placeholder, holding quoted values with commas between them.

``{"GENRES": "\"horror\",\"comedy\""}`` in the file is ``"horror","comedy"`` here. This runs once a row,
so it does without a grammar.
"""

from __future__ import annotations

import re

from airflow_provider_personalize.batch.syntax import ExpressionSyntaxError, unquote

_VALUE = re.compile(
    r"""\s*(?:(?P<quoted>"(?:[^"\\]|\\[\s\S])*+"|'(?:[^'\\]|\\[\s\S])*+')|(?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.])))\s*""",
    re.ASCII,
)


class FilterValuesSyntaxError(ExpressionSyntaxError):
    """A text that is no list of values for a placeholder."""


def parse_filter_values(text: str) -> list[str]:
    """``"horror","comedy"`` -> ``["horror", "comedy"]``. At least one value.

    Numbers may also stand unquoted, and come back as they were written. Raises FilterValuesSyntaxError.
    """
    values = []
    position = 0
    while True:
        value = _VALUE.match(text, position)
        if value is None:
            raise FilterValuesSyntaxError(
                r'Expected a value in double quotes, written "\"horror\",\"comedy\"" in the row.', text, position
            )
        quoted: str | None = value["quoted"]
        values.append(value["number"] if quoted is None else unquote(quoted))
        position = value.end()
        if position == len(text):
            return values
        if text[position] != ",":
            raise FilterValuesSyntaxError("Expected a comma between values.", text, position)
        position += 1
