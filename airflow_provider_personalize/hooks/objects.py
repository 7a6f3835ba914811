"""The objects of a location, as Amazon Personalize takes them, through Airflow's object storage.

The connection decides which S3 that is (``service_config.s3.endpoint_url``); ``file://`` is this machine's disk.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from airflow.sdk import ObjectStoragePath

from airflow_provider_personalize.exceptions import PersonalizeInputError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

CHECK_OBJECT = "_CHECK"  # the service leaves it in every output folder
_BUFFER_BYTES = 1 << 20
# What is read of an object at a time; s3fs itself would ask for 50 MB.
_BLOCK_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object of a location. ``name`` is its path below the location's last folder."""

    uri: str
    name: str
    size: int
    modified: datetime | None = None
    """When it was written; None where the storage does not say."""


def folder_of(uri: str) -> str:
    """The last folder of a location, with its slash: ``s3://b/in/`` of ``s3://b/in/users``."""
    return uri[: uri.rindex("/") + 1]


def output_folder(uri: str) -> str:
    """An output location is a folder with or without its slash."""
    return uri if uri.endswith("/") else f"{uri}/"


def matching(uri: str, conn_id: str | None) -> list[StoredObject]:
    """The objects whose key begins with the location's, in key order: so the service reads an input.

    ``s3://b/in`` also takes ``s3://b/in-old/users.json`` (developer guide, "Creating a batch inference job"). Raises
    :class:`PersonalizeInputError` for a location that is neither ``s3://bucket/...`` nor ``file:///path``, and OSError
    where the storage cannot be reached.
    """
    scheme, path = _parts(uri)
    folder, _, start = path.rpartition("/")
    try:
        found = _filesystem(uri, conn_id).find(folder or "/", prefix=start, detail=True)
    except FileNotFoundError:
        return []
    return [
        StoredObject(f"{scheme}://{key}", key.removeprefix(f"{folder}/"), int(facts["size"]), _modified(facts))
        for key, facts in sorted(found.items())
        if key.startswith(path) and facts["type"] == "file" and not key.endswith(("/", ".partial"))
    ]


@contextmanager
def reading(uri: str, conn_id: str | None) -> Iterator[BinaryIO]:
    """The bytes of one object, buffered."""
    raw = _filesystem(uri, conn_id).open(_parts(uri)[1], "rb", block_size=_BLOCK_BYTES)
    with raw, io.BufferedReader(raw, _BUFFER_BYTES) as stream:
        yield cast(BinaryIO, stream)


def beginning(stored: StoredObject, most: int, conn_id: str | None) -> bytes:
    """The first bytes of an object, ``most`` at most; no more is fetched."""
    end = min(stored.size, most)
    if not end:
        return b""
    return bytes(_filesystem(stored.uri, conn_id).cat_file(_parts(stored.uri)[1], start=0, end=end))


def reading_all(objects: Iterable[StoredObject], conn_id: str | None) -> Iterator[tuple[StoredObject, BinaryIO]]:
    """One object after another, each open until the next is asked for."""
    for stored in objects:
        with reading(stored.uri, conn_id) as stream:
            yield stored, stream


def remove(uri: str, conn_id: str | None) -> None:
    """Remove one object."""
    _filesystem(uri, conn_id).rm_file(_parts(uri)[1])


@contextmanager
def writing_whole(uri: str, conn_id: str | None) -> Iterator[IO[bytes]]:
    """A new object that is there when the context ends well, and then all of it; one of that name is replaced.

    It is written beside its place, under a name that readers of tables skip (``_<name>.partial``), and then moved.
    """
    filesystem = _filesystem(uri, conn_id)
    scheme, path = _parts(uri)
    folder, _, name = path.rpartition("/")
    staged = f"{folder}/_{name}.partial"
    if scheme == "file":
        filesystem.makedirs(folder or "/", exist_ok=True)
    try:
        with filesystem.open(staged, "wb") as stream:
            yield stream
        if scheme == "file":
            filesystem.mv(staged, path)
        else:
            # A move takes its names for patterns.
            filesystem.cp_file(staged, path)
            filesystem.rm_file(staged)
    except BaseException:
        if filesystem.exists(staged):
            filesystem.rm_file(staged)
        raise


def _modified(facts: Mapping[str, Any]) -> datetime | None:
    """Each file system of fsspec has its own name for it: S3 ``LastModified``, a disk ``mtime``."""
    found = facts.get("LastModified", facts.get("mtime"))
    if isinstance(found, datetime):
        return found
    return datetime.fromtimestamp(found, UTC) if isinstance(found, int | float) else None


def _filesystem(uri: str, conn_id: str | None) -> AbstractFileSystem:
    filesystem: AbstractFileSystem = ObjectStoragePath(f"{_parts(uri)[0]}://", conn_id=conn_id).fs
    # Listings are kept for the life of the process, and what is not in them would not exist.
    filesystem.invalidate_cache()
    return filesystem


def _parts(uri: str) -> tuple[str, str]:
    scheme, _, path = uri.partition("://")
    if not (path.startswith("/") if scheme == "file" else scheme == "s3" and path.find("/") > 0):
        raise PersonalizeInputError(f"{uri!r} is neither s3://bucket/key nor file:///absolute/path.")
    return scheme, path
