"""The objects of a location, on disk and in a real S3 that only the connection names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_personalize.exceptions import PersonalizeInputError
from airflow_provider_personalize.hooks.objects import StoredObject, beginning, matching, reading, writing_whole

from .places import Bucket, Disk

CONN = "aws_default"


def names(location: str) -> list[str]:
    return [stored.name for stored in matching(location, CONN)]


def test_a_location_is_a_prefix(place: Disk | Bucket) -> None:
    for name in ("in/users.json", "in/deep/b", "in-old/users.json", "in/odd #1?.json", "out/x"):
        place.put(name, b"{}\n")
    assert names(place.uri("in/")) == ["deep/b", "odd #1?.json", "users.json"]
    assert names(place.uri("in")) == ["in-old/users.json", "in/deep/b", "in/odd #1?.json", "in/users.json"]
    assert names(place.uri("in/us")) == ["users.json"]
    assert names(place.uri("nowhere/")) == []


def test_an_object_that_came_since_the_last_look_is_seen(place: Disk | Bucket) -> None:
    place.put("in/a", b"1")
    assert names(place.uri("in/")) == ["a"]
    place.put("in/b", b"22")
    assert [(stored.name, stored.size) for stored in matching(place.uri("in/"), CONN)] == [("a", 1), ("b", 2)]


def test_an_object_says_when_it_was_written(place: Disk | Bucket) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)  # S3 tells whole seconds
    (stored,) = matching(place.put("in/a", b"1"), CONN)
    assert stored.modified is not None
    assert before <= stored.modified <= datetime.now(UTC) + timedelta(seconds=2)


def test_a_storage_that_does_not_say_when_is_no_hindrance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = {f"{tmp_path}/a": {"size": 1, "type": "file", "mtime": None}}
    monkeypatch.setattr(LocalFileSystem, "find", lambda *_, **__: found)
    assert matching(f"file://{tmp_path}/a", None) == [StoredObject(f"file://{tmp_path}/a", "a", 1, None)]


def test_an_object_is_read_line_by_line(place: Disk | Bucket) -> None:
    uri = place.put("in/a b#?.json", b"one\ntwo\n")
    with reading(uri, CONN) as stream:
        assert stream.read(1) == b"o"
        stream.seek(0)
        assert list(stream) == [b"one\n", b"two\n"]


@pytest.mark.parametrize(("most", "read"), [(4, b"one\n"), (8, b"one\ntwo\n"), (1 << 20, b"one\ntwo\n"), (0, b"")])
def test_the_beginning_of_an_object_is_no_more_than_was_asked_for(place: Disk | Bucket, most: int, read: bytes) -> None:
    place.put("in/rows", b"one\ntwo\n")
    place.put("in/rows.empty", b"")
    rows, empty = matching(place.uri("in/rows"), CONN)
    assert beginning(rows, most, CONN) == read
    assert beginning(empty, most, CONN) == b""


def test_an_object_appears_whole_and_replaces_the_one_before(place: Disk | Bucket) -> None:
    uri = place.put("tables/t.parquet", b"first")
    with writing_whole(uri, CONN) as stream:
        stream.write(b"second")
        stream.flush()
        assert place.get("tables/t.parquet") == b"first"
    assert (place.names(), place.get("tables/t.parquet")) == (["tables/t.parquet"], b"second")


def test_a_name_is_taken_literally_and_its_folder_is_made(place: Disk | Bucket) -> None:
    place.put("new/t1", b"other")
    with writing_whole(place.uri("new/folder/t[1]*#.parquet"), CONN) as stream:
        stream.write(b"third")
    assert place.names() == ["new/folder/t[1]*#.parquet", "new/t1"]


def test_a_write_that_fails_leaves_what_was_there(place: Disk | Bucket) -> None:
    place.put("t", b"before")

    def fail() -> None:
        with writing_whole(place.uri("t"), CONN) as stream:
            stream.write(b"half")
            raise RuntimeError("no more rows")

    with pytest.raises(RuntimeError, match="no more rows"):
        fail()
    assert (place.names(), place.get("t")) == (["t"], b"before")


@pytest.mark.parametrize("uri", ["/tmp/x", "https://example.org/x", "s3://", "s3://bucket", "file://x"])
def test_other_locations_are_refused(uri: str) -> None:
    with pytest.raises(PersonalizeInputError, match="neither"):
        matching(uri, None)
