"""Input rows: what a row must hold for each kind of recipe, and lines -> rows.

One bad row costs that row. Whatever bytes a line holds, it becomes a checked row or a message that names the line, with
something to echo as ``input`` beside it:

==============================  ==================================================================
a line that is                  is echoed as
==============================  ==================================================================
a JSON object, good or wrong    the object
another JSON value              that value
not JSON, or nested > 254 deep  a JSON string of its text
not UTF-8                       the same, each undecodable byte as U+FFFD
longer than 16 MiB              a JSON string of its first 256 characters
==============================  ==================================================================

Blank lines are no rows, but they count as lines. JSON is what orjson takes: NaN, numbers beyond a double and lone
surrogates are not JSON; an integer beyond 64 bits is echoed as the nearest double; of a repeated key the last value
counts.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson

from airflow_provider_personalize.batch.style import Style

MAX_LINE_BYTES = 16 * 1024 * 1024
MAX_ID_CHARACTERS = 256
_ECHOED_CHARACTERS = 256

#: An input row that was found good for its format.
Row = Mapping[str, Any]
# (name of the value, the value) -> what is wrong with it, or None.
_Check = Callable[[str, object], str | None]


def _check_text(name: str, value: object) -> str | None:
    if not isinstance(value, str):
        return f"{name} must be a JSON string, not {_kind(value)}"
    return None if value.strip() else f"{name} is empty"


def _check_id(name: str, value: object) -> str | None:
    if not isinstance(value, str):
        return f'{name} must be a string, not {_kind(value)}: ids are JSON strings, "17" and not 17'
    if not value:
        return f"{name} is empty"
    if len(value) > MAX_ID_CHARACTERS:
        return f"{name} has {len(value)} characters; an id has at most {MAX_ID_CHARACTERS}"
    return None


def _check_ids(name: str, value: object) -> str | None:
    if not isinstance(value, list):
        return f"{name} must be an array of item ids, not {_kind(value)}"
    if not value:
        return f"{name} is empty: there is nothing to rank"
    # Set and map run over a list of hundreds in C; the loop in Python only looks for the culprit.
    if set(map(type, value)) == {str} and "" not in value and max(map(len, value)) <= MAX_ID_CHARACTERS:
        return None
    return next(filter(None, (_check_id(f"{name}[{i}]", id_) for i, id_ in enumerate(value))))


def _check_filter_values(name: str, value: object) -> str | None:
    if not isinstance(value, dict):
        return f"{name} must be an object of strings, not {_kind(value)}"
    for parameter, text in value.items():
        if not isinstance(text, str):
            return (
                f"{name}.{_shortened(parameter)} must be a JSON string, not {_kind(text)}: "
                r'values stand quoted inside one string, like "\"drama\",\"comedy\""'
            )
    return None


@dataclass(frozen=True)
class RowFormat:
    """What the rows of one kind of recipe hold. Any row may add ``filterValues``, an object of strings."""

    required: Mapping[str, _Check]
    example: str
    optional: Mapping[str, _Check] = field(default_factory=dict)

    @cached_property
    def plain(self) -> tuple[str, re.Pattern[bytes]] | None:
        """The one key of a format of one id, and a line that holds it and nothing else, whose id needs no escape."""
        match list(self.required.items()):
            case [(key, check)] if check is _check_id and not self.optional:
                id_ = rb'"([^"\\\x00-\x1f]{1,%d})"' % MAX_ID_CHARACTERS
                return key, re.compile(rb'^\{"%b": ?%b\}\r?$' % (key.encode(), id_), re.MULTILINE)
        return None

    def fault(self, value: object) -> str | None:
        """What is wrong with a parsed line as a row of this format, naming the key; None when it is good."""
        if not isinstance(value, dict):
            if isinstance(value, list):
                return f"one JSON object per line, not an array of them; rows for this recipe look like {self.example}"
            return f"a JSON object is needed, not {_kind(value)}; rows for this recipe look like {self.example}"
        for key in self.required:
            if key not in value:
                return f'key "{key}" is missing; rows for this recipe look like {self.example}'
        for key, member in value.items():
            check = self.required.get(key) or self.optional.get(key)
            if check is None:
                if key != "filterValues":
                    return f'unknown key "{_shortened(key)}"; rows for this recipe look like {self.example}'
                check = _check_filter_values
            if fault := check(f'"{key}"', member):
                return fault
        return None


#: Personalization and the older HRNN recipes.
USER_ROWS = RowFormat({"userId": _check_id}, '{"userId": "u-17"}')
#: Related items, and the segments of Item-Affinity.
ITEM_ROWS = RowFormat({"itemId": _check_id}, '{"itemId": "i-4"}')
RANKING_ROWS = RowFormat(
    {"userId": _check_id, "itemList": _check_ids}, '{"userId": "u-17", "itemList": ["i-4", "i-8"]}'
)
#: The segments of Item-Attribute-Affinity. The query itself is parsed by `attribute_query`.
ATTRIBUTE_ROWS = RowFormat({"itemAttributes": _check_text}, r'{"itemAttributes": "ITEMS.GENRES = \"Comedy\""}')
#: Popularity-Count answers every row alike: it also takes the ``{}`` and ``{"itemId": ...}`` of the 2020 documents.
POPULARITY_ROWS = RowFormat({}, '{"userId": "u-17"}', optional={"userId": _check_id, "itemId": _check_id})


@dataclass(slots=True)
class InputBlock:
    """Consecutive input rows. ``inputs``, ``rows`` and ``line_numbers`` have one entry a row; blank lines have none."""

    inputs: list[bytes]
    """What goes after ``"input":`` of each output row, in the style that was asked for."""
    rows: list[Row | None]
    """The parsed rows; None exactly where `errors` has a message."""
    errors: dict[int, str]
    """Position in `rows` -> message that names the line and the key."""
    first_line: int
    """1-based number of the first of the lines, rows and blank lines counted."""
    line_numbers: list[int]
    """1-based line number of each row, for whoever finds fault with a row later."""

    def __len__(self) -> int:
        return len(self.rows)


def parse_block(
    lines: Sequence[bytes],
    row_format: RowFormat,
    *,
    first_line: int = 1,
    line_numbers: Sequence[int] | None = None,
    style: Style,
) -> InputBlock:
    """Check ``lines`` (their ends, LF or CRLF, may still be on) against ``row_format``; no content makes it raise.

    ``line_numbers``: of each line, where they do not just count on from ``first_line``.
    """
    numbers = range(first_line, first_line + len(lines)) if line_numbers is None else line_numbers
    if (plain := _parse_plain(lines, row_format, numbers, style)) is not None:
        return plain
    block = InputBlock([], [], {}, min(numbers, default=first_line), [])
    for line_number, line in zip(numbers, lines, strict=True):
        row: Row | None = None
        fault: str | None
        if is_too_long(line):
            # The longest UTF-8 character has 4 bytes: this prefix holds enough of them.
            text = line[: 4 * _ECHOED_CHARACTERS].decode(errors="replace")
            echo = orjson.dumps(text[:_ECHOED_CHARACTERS])
            fault = f"longer than {MAX_LINE_BYTES >> 20} MiB; is the file JSON Lines, with a line end after each row?"
        else:
            try:
                row = orjson.loads(line)
                echo = style.dumps(row)
            # TypeError: nested deeper than orjson writes.
            except (orjson.JSONDecodeError, TypeError) as error:
                if not line.strip():
                    continue
                echo = orjson.dumps(without_line_end(line).decode(errors="replace"))
                fault = _reading_fault(line, error, line_number)
            else:
                fault = row_format.fault(row)
        if fault is not None:
            block.errors[len(block.rows)] = f"Line {line_number}: {fault}"
            row = None
        block.inputs.append(echo)
        block.rows.append(row)
        block.line_numbers.append(line_number)
    return block


def _parse_plain(
    lines: Sequence[bytes], row_format: RowFormat, numbers: Sequence[int], style: Style
) -> InputBlock | None:
    """The same for lines that are all plain rows, as most are, in a fraction of the time; None for others."""
    if row_format.plain is None or not lines:
        return None
    key, pattern = row_format.plain
    found = pattern.findall(b"".join(lines))
    if len(found) != len(lines):
        return None
    try:
        ids = [id_.decode() for id_ in found]
    except UnicodeDecodeError:
        return None
    space = b"" if style is Style.COMPACT else b" "
    opening = b'{"%b":%b"' % (key.encode(), space)
    return InputBlock(
        [opening + id_ + b'"}' for id_ in found], [{key: id_} for id_ in ids], {}, min(numbers), list(numbers)
    )


def without_line_end(line: bytes) -> bytes:
    return line.removesuffix(b"\n").removesuffix(b"\r")


def is_too_long(line: bytes) -> bool:
    return len(line) > MAX_LINE_BYTES and len(without_line_end(line)) > MAX_LINE_BYTES


def _reading_fault(line: bytes, error: Exception, line_number: int) -> str:
    try:
        line.decode()
    except UnicodeDecodeError as undecodable:
        byte = undecodable.start
        if line_number == 1 and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "not UTF-8; the file looks like UTF-16, save it as UTF-8"
        return f"not UTF-8: byte {byte + 1} is 0x{line[byte]:02x}"
    if isinstance(error, orjson.JSONDecodeError):
        return f"not JSON: {error.msg} at column {error.colno}; a line must be one whole JSON object"
    return "nested too deeply"


_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def _kind(value: object) -> str:
    return _KINDS[type(value)]


def _shortened(key: str) -> str:
    return key if len(key) <= 40 else key[:40] + "..."
