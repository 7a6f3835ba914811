"""Output rows as bytes, exactly as the service writes them.

Each function takes one block: ``inputs[i]`` is what stands after ``"input":`` (``InputBlock.inputs``), and a row named
in ``errors`` gets the error row, whatever else was given for it. Each row ends with a newline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from airflow_provider_personalize.batch.scores import join_scores
from airflow_provider_personalize.batch.style import Style

__all__ = [
    "join_rows",
    "write_recommendations",
    "write_segments",
    "write_themes",
]

_RECOMMENDATIONS = b'{"input":%b,"output":{"recommendedItems":[%b]},"error":null}\n'
_SCORED_RECOMMENDATIONS = b'{"input":%b,"output":{"recommendedItems":[%b],"scores":[%b]},"error":null}\n'
_SEGMENT = b'{"input": %b, "output": {"usersList": [%b]}, "error": null}\n'
_THEME = b'{"input":%b,"output":{"recommendedItems":[%b],"theme":%b,"itemsThemeRelevanceScores":%b}}\n'
_THEME_ERROR = b'{"input":%b,"error":%b}\n'
_ERROR = {
    Style.COMPACT: b'{"input":%b,"output":null,"error":%b}\n',
    Style.SPACED: b'{"input": %b, "output": null, "error": %b}\n',
}


def write_recommendations(
    inputs: Sequence[bytes],
    items: Sequence[Sequence[bytes]],
    scores: Sequence[Sequence[int]] | None,
    errors: Mapping[int, str],
) -> bytes:
    """The rows of a batch inference job, compact.

    ``items``: for each row its quoted ids, best first. ``scores``: for each row as many scores, in units of 1e-7
    (Python integers: ``array.tolist()``), or None for the recipes that give none. Raises ValueError where the numbers
    of rows differ.
    """
    if scores is None:
        rows = [
            _RECOMMENDATIONS % (input_, b",".join(row_items)) for input_, row_items in zip(inputs, items, strict=True)
        ]
    else:
        rows = [
            _SCORED_RECOMMENDATIONS % (input_, b",".join(row_items), join_scores(row_scores))
            for input_, row_items, row_scores in zip(inputs, items, scores, strict=True)
        ]
    return join_rows(rows, inputs, errors)


def write_themes(
    inputs: Sequence[bytes],
    items: Sequence[Sequence[bytes]],
    themes: Sequence[str],
    relevance: Sequence[Sequence[float]],
    errors: Mapping[int, str],
) -> bytes:
    """The rows of a batch inference job with themes: no ``error`` in a good row, no ``output`` in a failed one.

    ``relevance``: of each item of a row to its theme. Raises ValueError where the numbers of rows differ.
    """
    rows = [
        _THEME % (input_, b",".join(row_items), orjson.dumps(theme), orjson.dumps(list(row_relevance)))
        for input_, row_items, theme, row_relevance in zip(inputs, items, themes, relevance, strict=True)
    ]
    return _joined(rows, inputs, errors, _THEME_ERROR, Style.COMPACT)


def write_segments(inputs: Sequence[bytes], users: Sequence[Sequence[bytes]], errors: Mapping[int, str]) -> bytes:
    """The rows of a batch segment job, spaced. ``users``: for each row its quoted ids, best first.

    An element may also hold several quoted ids with commas between them, which spares a segment of millions of users
    as many small objects. Raises ValueError where the numbers of rows differ.
    """
    rows = [_SEGMENT % (input_, b",".join(row_users)) for input_, row_users in zip(inputs, users, strict=True)]
    return _joined(rows, inputs, errors, _ERROR[Style.SPACED], Style.SPACED)


def join_rows(rows: list[bytes], inputs: Sequence[bytes], errors: Mapping[int, str]) -> bytes:
    """The rows of a batch inference job that are written already, but for those in ``errors``."""
    return _joined(rows, inputs, errors, _ERROR[Style.COMPACT], Style.COMPACT)


def _joined(
    rows: list[bytes], inputs: Sequence[bytes], errors: Mapping[int, str], error_row: bytes, style: Style
) -> bytes:
    for position, message in errors.items():
        # A message may quote a file name, and those may hold what UTF-8 cannot.
        text = message.encode(errors="backslashreplace").decode()
        rows[position] = error_row % (inputs[position], style.dumps({"errorMessage": text}))
    return b"".join(rows)
