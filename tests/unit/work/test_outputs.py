"""Outputs put together from tables are the bytes of the writer that formats number by number."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_personalize.batch.writer import write_outputs, write_recommendations
from airflow_provider_personalize.local.recipes.model import Labels
from airflow_provider_personalize.local.work import outputs
from airflow_provider_personalize.local.work.outputs import OutputTexts

IDS = sorted(["i", "item-4", 'quo"te', "back\\slash", ",", '","', "line\nend", "\x00", "ü", "日本", "[", "]", "0"])
LABELS = Labels(pl.Series(IDS))
UNITS = st.one_of(
    st.integers(0, 10_000_000), st.sampled_from([0, 1, 9_999, 10_000, 10_001, 123_000, 9_999_999, 10_000_000])
)


def expected(ids: list[list[int]], scores: list[list[int]] | None) -> bytes:
    inputs = [b"{}"] * len(ids)
    return write_recommendations(inputs, [[LABELS[item] for item in row] for row in ids], scores, {})


def padded(rows: list[list[int]], fill: int, dtype: type) -> np.ndarray:
    table = np.full((len(rows), max(map(len, rows), default=0)), fill, dtype)
    for position, row in enumerate(rows):
        table[position, : len(row)] = row
    return table


@given(st.lists(st.lists(st.tuples(st.integers(0, len(IDS) - 1), UNITS), max_size=9), max_size=20))
def test_the_bytes_are_those_of_the_plain_writer(rows: list[list[tuple[int, int]]]) -> None:
    ids = [[item for item, _ in row] for row in rows]
    scores = [[units for _, units in row] for row in rows]
    table, units = padded(ids, -1, np.int32), padded(scores, 0, np.int64)
    texts = OutputTexts(LABELS)
    for given_units, plain in ((units, scores), (None, None)):
        written = texts.write(table, given_units)
        assert written is not None
        assert write_outputs([b"{}"] * len(rows), written, {}) == expected(ids, plain)


def test_many_rows_are_written_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.arange(60, dtype=np.int32).reshape(20, 3) % len(IDS)
    scores = np.arange(60, dtype=np.int64).reshape(20, 3) * 1000
    whole = OutputTexts(LABELS).write(ids, scores)
    monkeypatch.setattr(outputs, "_HELD_BYTES", 200)
    assert OutputTexts(LABELS).write(ids, scores) == whole


def test_a_large_catalogue_is_quoted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.arange(len(IDS), dtype=np.int32)[None]
    whole = OutputTexts(LABELS).write(ids, None)
    monkeypatch.setattr(outputs, "_QUOTED_AT_ONCE", 2)
    assert OutputTexts(LABELS).write(ids, None) == whole


@pytest.mark.parametrize(
    ("labels", "ids", "units"),
    [
        (Labels(pl.Series(["x" * 100])), 0, 1),
        (LABELS, len(IDS), 1),
        (LABELS, 0, 10_000_001),
        (LABELS, 0, -1),
    ],
    ids=["a long id", "an id that no table has", "a score above 1", "a score below 0"],
)
def test_what_tables_do_not_serve_is_left_to_the_plain_writer(labels: Labels, ids: int, units: int) -> None:
    assert OutputTexts(labels).write(np.array([[ids]], np.int32), np.array([[units]])) is None


def test_an_error_takes_the_place_of_its_rows_output() -> None:
    written = OutputTexts(LABELS).write(np.array([[0], [1]], np.int32), None)
    assert written is not None
    good, bad = write_outputs([b"1", b"2"], written, {1: "Line 2: no"}).splitlines()
    assert good == b'{"input":1,"output":{"recommendedItems":[%b]},"error":null}' % LABELS[0]
    assert bad == b'{"input":2,"output":null,"error":{"errorMessage":"Line 2: no"}}'
