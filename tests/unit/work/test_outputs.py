"""Rows that outputs.c writes are the bytes of the writer in Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_personalize.batch.writer import write_recommendations
from airflow_provider_personalize.local.recipes import model
from airflow_provider_personalize.local.recipes.model import Labels
from airflow_provider_personalize.local.work import outputs
from airflow_provider_personalize.local.work.outputs import Outputs

IDS = sorted(
    ["i", "item-4", 'quo"te', "back\\slash", ",", '","', "line\nend", "\x00", "ü", "日本", "[", "]", "0", "x" * 256]
)
LABELS = Labels(pl.Series(IDS))
UNITS = st.one_of(
    st.integers(0, 10_000_000),
    st.integers(0, 7).map(lambda power: 10**power),
    st.sampled_from([9_999, 10_001, 123_000, 9_999_999]),
)

pytestmark = pytest.mark.skipif(outputs._library() is None, reason="outputs.c is not built here")


def padded(rows: list[list[int]], fill: int, dtype: type) -> np.ndarray:
    table = np.full((len(rows), max(map(len, rows), default=0)), fill, dtype)
    for position, row in enumerate(rows):
        table[position, : len(row)] = row
    return table


@given(
    st.lists(
        st.tuples(st.binary(max_size=9), st.lists(st.tuples(st.integers(0, len(IDS) - 1), UNITS), max_size=9)),
        max_size=20,
    ),
    st.dictionaries(st.integers(0, 19), st.text(max_size=5)),
    st.booleans(),
)
def test_the_bytes_are_those_of_the_plain_writer(
    rows: list[tuple[bytes, list[tuple[int, int]]]], faults: dict[int, str], scored: bool
) -> None:
    inputs = [input_ for input_, _ in rows]
    errors = {row: fault for row, fault in faults.items() if row < len(rows)}
    ids = [[item for item, _ in found] for _, found in rows]
    scores = [[units for _, units in found] for _, found in rows]
    written = Outputs(LABELS).write(
        inputs, padded(ids, -1, np.int32), padded(scores, 0, np.int64) if scored else None, errors
    )
    labels = [[LABELS[item] for item in row] for row in ids]
    assert written == write_recommendations(inputs, labels, scores if scored else None, errors)


def test_every_score_is_printed_as_the_plain_writer_prints_it() -> None:
    scores = np.concatenate([np.arange(20_001), np.arange(20_001, 10_000_001, 977), [10_000_000]])
    ids = np.zeros((1, len(scores)), np.int32)
    assert Outputs(LABELS).write([b"1"], ids, scores[None], {}) == write_recommendations(
        [b"1"], [[LABELS[0]] * len(scores)], [scores.tolist()], {}
    )


def test_arrays_may_be_parts_of_others() -> None:
    ids, scores = np.arange(12, dtype=np.int32).reshape(3, 4), np.arange(12).reshape(3, 4)
    whole = Outputs(LABELS).write([b"1", b"2", b"3"], ids[:, :2].copy(), scores[:, :2].copy(), {})
    assert Outputs(LABELS).write([b"1", b"2", b"3"], ids[:, :2], scores[:, :2], {}) == whole


def test_a_large_catalogue_is_quoted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.arange(len(IDS), dtype=np.int32)[None]
    whole = Outputs(LABELS).write([b"1"], ids, None, {})
    monkeypatch.setattr(model, "_HELD_LABELS", 2)
    assert Outputs(LABELS).write([b"1"], ids, None, {}) == whole


@pytest.mark.parametrize(
    ("ids", "units"),
    [(len(IDS), 1), (0, 10_000_001), (0, -1)],
    ids=["an id that no table has", "a score above 1", "a score below 0"],
)
def test_what_it_does_not_serve_is_left_to_the_plain_writer(ids: int, units: int) -> None:
    assert Outputs(LABELS).write([b"1"], np.array([[ids]], np.int32), np.array([[units]]), {}) is None


@pytest.mark.parametrize("missing", ["a compiler", "room"])
def test_so_is_all_where_it_cannot_be(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    if missing == "a compiler":
        monkeypatch.setattr(outputs, "_library", lambda: None)
    else:
        monkeypatch.setattr(outputs, "_LONGEST_TEXT", 10)
    assert Outputs(LABELS).write([b"1"], np.array([[0]], np.int32), None, {}) is None


def test_an_error_takes_the_place_of_its_rows_output() -> None:
    written = Outputs(LABELS).write([b"1", b"2"], np.array([[0], [1]], np.int32), None, {1: "Line 2: no"})
    assert written is not None
    good, bad = written.splitlines()
    assert good == b'{"input":1,"output":{"recommendedItems":[%b]},"error":null}' % LABELS[0]
    assert bad == b'{"input":2,"output":null,"error":{"errorMessage":"Line 2: no"}}'


@pytest.mark.parametrize(("inputs", "scores"), [([b"1"], 2), ([b"1"] * 3, 2), ([b"1"] * 2, 1)])
def test_numbers_of_rows_that_differ_are_refused(inputs: list[bytes], scores: int) -> None:
    with pytest.raises(ValueError, match="differ in rows"):
        Outputs(LABELS).write(inputs, np.zeros((2, 1), np.int32), np.zeros((scores, 1), np.int64), {})


def test_it_stays_within_what_is_made_for_it(run_sanitized: Callable[..., None]) -> None:
    source = Path(outputs.__file__).with_name("outputs.c")
    run_sanitized(Path(__file__).with_name("odd_outputs.py"), source, {"baseline": ()})
