"""Objects in and out: ``s3://`` through any S3 endpoint the environment names, ``file://`` on this machine's disk.

A location is matched as a prefix, as the service does (developer guide, "Creating a batch inference job"):
``s3://b/dir`` also takes ``s3://b/dir_old/users.json``. Output appears whole or not at all: it is staged on local
disk (beside its destination for ``file://``), then renamed, or put as one object (S3 shows a multipart upload only
when it is complete).
"""

from __future__ import annotations

import glob
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from airflow_provider_personalize.local.disk import sync

STAGED_SUFFIX = ".partial"


class LocationError(ValueError):
    """A location that is not usable: the text says why and what to do."""


class StorageError(OSError):
    """Reading or writing failed at a usable location."""


@dataclass(frozen=True, slots=True)
class Location:
    scheme: str  # "s3" or "file"
    bucket: str  # empty for file
    key: str  # for file, the absolute path

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}" if self.scheme == "s3" else f"file://{self.key}"


def check_location(uri: str) -> Location:
    """Take a URI apart. Raises :class:`LocationError` unless it is ``s3://bucket/...`` or ``file:///absolute/path``."""
    scheme, _, rest = uri.partition("://")
    if scheme == "file":
        # Taken literally, as Airflow's ObjectStoragePath does: `#`, `?` and `%` are letters of a path like any other.
        if not rest.startswith("/") or not rest.strip("/"):
            raise LocationError(f"{uri} is not an absolute file:///path.")
        # os.path.normpath would drop the final slash, which says "folder".
        return Location("file", "", os.path.normpath(rest) + ("/" if rest.endswith("/") else ""))
    if scheme == "s3":
        bucket, _, key = rest.partition("/")
        if not bucket:
            raise LocationError(f"{uri} names no bucket.")
        return Location("s3", bucket, key)
    raise LocationError(f"{uri} is neither s3://bucket/key nor, on the local backend, file:///absolute/path.")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object under a location; ``name`` is its path below the location's last folder."""

    location: Location
    name: str
    size: int


class Storage(ABC):
    """Reads and writes one scheme; ``scratch`` is a directory on this machine's disk."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._made: list[Path] = []  # folders, outer ones first

    @abstractmethod
    def matching(self, location: Location) -> list[StoredObject]:
        """Objects whose key starts with the location's, in key order; empty where there are none."""

    @abstractmethod
    def _staging_folder(self, destination: Location) -> Path:
        """The folder that files on their way to ``destination`` lie in."""

    def staging(self, destination: Location, tag: str) -> Path:
        """A local path to write an object to before :meth:`publish`.

        ``tag`` is ``<job>.<attempt>``: what an earlier attempt of the same job left there is removed. Raises
        :class:`StorageError` where there can be no such file.
        """
        try:
            folder = self._staging_folder(destination)
        except OSError as error:
            raise StorageError(f"Invalid S3 output path: {destination} cannot be written: {error}") from None
        stem = f".{destination.key.rsplit('/', 1)[-1]}.{tag.rsplit('.', 1)[0]}"
        for stale in folder.glob(f"{glob.escape(stem)}.*{STAGED_SUFFIX}"):
            stale.unlink(missing_ok=True)
        return folder / f"{stem}.{tag.rsplit('.', 1)[1]}{STAGED_SUFFIX}"

    def discard(self, staged: Iterable[Path]) -> None:
        """Remove staged files that are not published, and the folders made for them, where nothing else is in them."""
        for path in staged:
            path.unlink(missing_ok=True)
        for folder in reversed(self._made):
            with suppress(OSError):  # not empty, or gone
                folder.rmdir()

    def _make(self, folder: Path) -> Path:
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        self._made += reversed(missing)
        return folder

    @abstractmethod
    def publish(self, staged: Path, destination: Location) -> None:
        """Make the staged file the object, in one step."""

    @abstractmethod
    def local_copy(self, stored: StoredObject) -> AbstractContextManager[Path]:
        """The object as a file on this machine's disk, for as long as the context lasts."""


class Disk(Storage):
    def matching(self, location: Location) -> list[StoredObject]:
        prefix = location.key
        folder = Path(prefix if prefix.endswith("/") else os.path.dirname(prefix))
        if not folder.is_dir():
            return []
        found = []
        for directory, _, names in os.walk(folder):
            for name in names:
                path = os.path.join(directory, name)
                if path.startswith(prefix) and not name.endswith(STAGED_SUFFIX) and os.path.isfile(path):
                    relative = os.path.relpath(path, folder)
                    found.append(StoredObject(Location("file", "", path), relative, os.path.getsize(path)))
        return sorted(found, key=lambda stored: stored.location.key)

    def _staging_folder(self, destination: Location) -> Path:
        return self._make(Path(destination.key).parent)

    def publish(self, staged: Path, destination: Location) -> None:
        sync(staged)
        staged.replace(destination.key)

    @contextmanager
    def local_copy(self, stored: StoredObject) -> Iterator[Path]:
        yield Path(stored.location.key)


class S3(Storage):
    """Endpoint, keys and region come from the environment, in botocore's own names (``AWS_ENDPOINT_URL_S3``, ...)."""

    @cached_property
    def _client(self) -> Any:
        import boto3  # a seventh of a runner's start, which one that reads from a disk is spared

        return boto3.session.Session().client("s3")

    def matching(self, location: Location) -> list[StoredObject]:
        folder = location.key[: location.key.rfind("/") + 1]
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=location.bucket, Prefix=location.key)
            return [
                StoredObject(Location("s3", location.bucket, entry["Key"]), entry["Key"][len(folder) :], entry["Size"])
                for page in pages
                for entry in page.get("Contents", ())
                if not entry["Key"].endswith("/")  # a console's mark for an empty folder
            ]
        except (ClientError, BotoCoreError) as error:
            raise _s3_error(error, location) from None

    @contextmanager
    def local_copy(self, stored: StoredObject) -> Iterator[Path]:
        # A download, not a stream: it is retried by parts, and a job's input is bounded (1 GB, service quota).
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            path = Path(folder) / Path(stored.name).name
            try:
                self._client.download_file(stored.location.bucket, stored.location.key, str(path))
            except (ClientError, BotoCoreError) as error:
                raise _s3_error(error, stored.location) from None
            yield path

    def _staging_folder(self, destination: Location) -> Path:
        return self._make(self._scratch / destination.bucket / os.path.dirname(destination.key))

    def publish(self, staged: Path, destination: Location) -> None:
        from boto3.exceptions import S3UploadFailedError

        try:
            self._client.upload_file(str(staged), destination.bucket, destination.key)
        except (ClientError, BotoCoreError, S3UploadFailedError) as error:
            raise _s3_error(error, destination) from None
        staged.unlink()


def storage_for(location: Location, scratch: Path) -> Storage:
    return S3(scratch) if location.scheme == "s3" else Disk(scratch)


def _s3_error(error: Exception, location: Location) -> StorageError:
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
    if code in ("AccessDenied", "403", "NoCredentialsError"):
        return StorageError(f"Insufficient privileges for accessing data in S3 at {location} ({code}): {error}")
    return StorageError(f"{location} cannot be reached ({code}): {error}")


def output_location(destination: Location, name: str) -> Location:
    """The object ``name`` in the folder ``destination``, with or without its final slash."""
    folder = destination.key if destination.key.endswith("/") or not destination.key else destination.key + "/"
    return Location(destination.scheme, destination.bucket, folder + name)
