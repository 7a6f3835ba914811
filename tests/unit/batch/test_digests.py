"""Values counted in buckets that spill to disk, against a dictionary that holds them all."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_personalize.batch.digests import Digests, canonical

VALUES = st.lists(st.integers(0, 8).map(lambda n: b"%d" % n), max_size=60)
# Nothing spilled, spilled at every addition, and a mixture of both.
HELD = st.sampled_from([1 << 20, 0, 200])


def filled(digests: Digests, values: list[bytes]) -> None:
    half = len(values) // 2
    digests.add(values[:half], range(half))
    digests.add(values[half:], range(half, len(values)))


@given(VALUES, HELD)
def test_repeats_are_the_values_that_an_earlier_one_equals(values: list[bytes], held: int) -> None:
    expected = [(place, values.index(value)) for place, value in enumerate(values) if values.index(value) != place]
    with Digests(held_bytes=held) as digests:
        filled(digests, values)
        assert digests.repeated(5) == (len(expected), expected[:5])


@given(VALUES, VALUES, HELD)
def test_beyond_is_the_difference_of_multisets(here: list[bytes], there: list[bytes], held: int) -> None:
    expected = Counter(here) - Counter(there)
    with Digests(held_bytes=held) as left, Digests(held_bytes=0) as right:
        filled(left, here)
        filled(right, there)
        count, places = left.beyond(right, 1000)
    assert count == expected.total() == len(places)
    assert Counter(here[place] for place in places) == expected
    assert places == sorted(places)


def test_of_equal_values_the_later_are_too_many() -> None:
    with Digests() as left, Digests() as right:
        left.add([b"a", b"a", b"a"], [1, 2, 3])
        right.add([b"a"], [9])
        assert left.beyond(right, 1) == (2, [2])


def test_the_temporary_files_go_with_the_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Digests(held_bytes=0) as digests:
        digests.add([b"a"], [1])
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}, True),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ({"a": "1"}, {"a": 1}, False),
        ({"a": None}, {}, False),
    ],
)
def test_canonical_bytes_are_equal_where_json_values_are(one: object, other: object, equal: bool) -> None:
    assert (canonical(one) == canonical(other)) is equal
