"""What the two small languages share: an error that points at its place, quoted text, numbers.

Nothing here needs lark.
"""

from __future__ import annotations

import math
import re

# How much of a long line is shown on each side of the place.
_CONTEXT = 60

_ESCAPED = re.compile(r"\\([^\w\s])")


class ExpressionSyntaxError(ValueError):
    """A text that its language does not allow. ``str()`` gives the reason, the line, and a caret under the place."""

    preface = ""
    """What the service says before the reason."""

    def __init__(self, reason: str, text: str, position: int) -> None:
        super().__init__(reason, text, position)
        self.reason = reason
        self.text = text
        self.position = position
        """0-based index into `text`; its length where something is missing at the end."""

    @property
    def line(self) -> int:
        """1-based."""
        return self.text.count("\n", 0, self.position) + 1

    @property
    def column(self) -> int:
        """1-based, in characters."""
        return self.position - self._line_start + 1

    @property
    def _line_start(self) -> int:
        return self.text.rfind("\n", 0, self.position) + 1

    def __str__(self) -> str:
        line = self.text[self._line_start :].partition("\n")[0]
        place = self.position - self._line_start
        start, end = max(0, place - _CONTEXT), place + _CONTEXT
        head, tail = "..." if start else "", "..." if end < len(line) else ""
        # A tab or a carriage return would move the caret.
        shown = re.sub(r"\s", " ", line[start:end])
        caret = " " * (len(head) + place - start) + "^"
        return f"{self.preface}{self.reason} (line {self.line}, column {self.column})\n  {head}{shown}{tail}\n  {caret}"


def quote(text: str) -> str:
    """``text`` as a double-quoted literal."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquote(literal: str) -> str:
    """The text inside a quoted literal. A backslash before a punctuation character stands for that character; before
    a letter, a digit or a space it is a backslash (``"AC\\DC"`` needs no escape).
    """
    return _ESCAPED.sub(r"\1", literal[1:-1])


def number(text: str) -> int | float | None:
    """A number literal's value: an int where it has neither point nor exponent. None beyond 64 bits or a double."""
    if text.lstrip("-").isdigit():
        # Longer ones are refused before int(), which itself refuses thousands of digits.
        value = int(text) if len(text) < 25 else 2**63
        return value if -(2**63) <= value < 2**63 else None
    real = float(text)
    return real if math.isfinite(real) else None
