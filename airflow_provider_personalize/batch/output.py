"""Output rows read back, in every shape that the service wrote or its documents showed.

Segments under ``usersList`` (real) or ``recommendedUsers`` (documents); the input with or without its wrapper;
``error`` null, absent, text or object; ``output`` null or absent in a failed row; scores beside the items or in the
second, anonymous object of the 2020 documents (which is no JSON); themes. One shape is written, see `writer`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

_ID_LISTS = ("recommendedItems", "usersList", "recommendedUsers")

# A string (left alone), the seam before a split scores object, or a comma with nothing after it. The string's closing
# quote is optional so that one without an end is passed over once, not searched again from each of its quotes.
_LEGACY = re.compile(rb'"(?:[^"\\]|\\.)*+"?|(?P<seam>\}\s*,\s*\{)(?=\s*"scores")|(?P<comma>,)(?=\s*[}\]])')


class OutputRowError(ValueError):
    """A line of an output file that is no output row. ``line_number`` is 1-based."""

    def __init__(self, line_number: int, reason: str) -> None:
        super().__init__(line_number, reason)
        self.line_number = line_number
        self.reason = reason

    def __str__(self) -> str:
        return f"Line {self.line_number}: {self.reason}"


@dataclass(frozen=True, slots=True)
class OutputRow:
    """One output row. Join on ``input``: the service does not keep the order of rows."""

    input: Any
    """The echoed input: an object, or for a broken input line whatever the service put there."""
    ids: tuple[str, ...] = ()
    """Items or users, best first; empty in a failed row."""
    scores: tuple[float | None, ...] | None = None
    """Beside `ids`; None for recipes without scores, a None inside for a placeholder item."""
    error: str | None = None
    """Why the row failed; None when it did not."""
    theme: str | None = None
    theme_scores: tuple[float, ...] | None = None
    """Relevance of each item to the theme."""


def read_output(lines: Iterable[bytes]) -> Iterator[OutputRow]:
    """The rows of an output file: an open binary file or any lines. Blank lines are skipped.

    Raises OutputRowError at the first line that is no output row.
    """
    for line_number, line in enumerate(lines, 1):
        text = line.removeprefix(codecs.BOM_UTF8) if line_number == 1 else line
        if text.strip():
            yield parse_output_row(text, line_number=line_number)


def parse_output_row(line: bytes, *, line_number: int = 1) -> OutputRow:
    """One line -> OutputRow. Raises OutputRowError."""
    try:
        row = _loads(line)
    except ValueError as error:
        raise OutputRowError(line_number, f"not JSON ({error})") from None
    if not isinstance(row, dict):
        raise OutputRowError(line_number, "not a JSON object")
    output, failure = row.pop("output", None), row.pop("error", None)
    # Without the wrapper, the input's own keys are what is left.
    input_ = row.get("input", row)
    if failure:
        return OutputRow(input_, error=_error_text(failure))
    if output is None:
        raise OutputRowError(line_number, 'neither "output" nor "error"; is this an input file?')
    ids = next((output[key] for key in _ID_LISTS if key in output), None) if isinstance(output, dict) else None
    if not isinstance(ids, list) or not all(isinstance(id_, str) for id_ in ids):
        raise OutputRowError(line_number, f'"output" holds no list of ids under {", ".join(_ID_LISTS)}')
    return OutputRow(
        input_,
        ids=tuple(ids),
        scores=_numbers(output, "scores", line_number),
        theme=output.get("theme"),
        theme_scores=_numbers(output, "itemsThemeRelevanceScores", line_number),
    )


def _loads(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return orjson.loads(_LEGACY.sub(_as_json, line))


def _as_json(match: re.Match[bytes]) -> bytes:
    if match["seam"]:
        return b","
    return b"" if match["comma"] else match[0]


def _error_text(failure: object) -> str:
    message = failure.get("errorMessage") if isinstance(failure, dict) else failure
    return message if isinstance(message, str) else orjson.dumps(failure).decode()


def _numbers(output: dict[str, Any], key: str, line_number: int) -> tuple[Any, ...] | None:
    numbers = output.get(key)
    if numbers is None:
        return None
    if not isinstance(numbers, list):
        raise OutputRowError(line_number, f'"{key}" is not a list')
    return tuple(numbers)
