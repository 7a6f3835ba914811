"""A data deletion job: everything about some users leaves the datasets of a dataset group that name users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from airflow_provider_personalize.local.datasets.csv_import import DatasetImportError, import_csv
from airflow_provider_personalize.local.datasets.schema import DatasetSchema, Field
from airflow_provider_personalize.local.disk import sync
from airflow_provider_personalize.local.layout import dataset_directory
from airflow_provider_personalize.local.service.events import SESSION
from airflow_provider_personalize.local.storage import check_location, storage_for
from airflow_provider_personalize.local.work.records import users_of_sessions
from airflow_provider_personalize.local.work.running import JobFailed, Running

COLUMN = "USER_ID"
_USERS = DatasetSchema("Users", (Field(COLUMN, "string", nullable=True),))
WITH_USERS = ("INTERACTIONS", "USERS", "ACTION_INTERACTIONS")


def run(running: Running) -> Mapping[str, Any]:
    """Returns ``numDeleted``, the rows of imports and the put records that are gone."""
    job = running.resource.document
    users = _users(running, job["dataSource"]["dataLocation"])
    store, deleted = running.backend.store, 0
    for dataset in store.children(job["datasetGroupArn"], "dataset"):
        if dataset.document["datasetType"] not in WITH_USERS:
            continue
        # Imports that a newer one has replaced hold the users too.
        for part in sorted(dataset_directory(running.backend.root, dataset.arn).glob("*.arrow")):
            deleted += _without(part, users, running.tag)
            running.report(deleted, None, "rows")
        deleted += _without_records(running, dataset.arn, users.to_list())
    return {"numDeleted": deleted}


def _without_records(running: Running, dataset_arn: str, users: Sequence[str]) -> int:
    """Forget what was put about these users, before they were known in their sessions too; how many records."""
    store, gone = running.backend.store, frozenset(users)
    # Of users and of what they did: records of users have no session.
    events = [record for record in store.records_of(dataset_arn) if SESSION in record]
    sessions = {session for session, user in users_of_sessions(events).items() if user in gone}
    return store.delete_records(dataset_arn, users, lambda record: record.get(SESSION) in sessions)


def _users(running: Running, source: str) -> pl.Series:
    """The distinct ids that the CSV files at a location name, read as an import reads them: they are meant alike."""
    location = check_location(source)
    storage = storage_for(location, running.scratch)
    found = [stored for stored in storage.matching(location) if stored.name.endswith(".csv")]
    if not found:
        raise JobFailed(f"Invalid Data location. {location} matches no CSV file.")
    with ExitStack() as copies:
        paths = [copies.enter_context(storage.local_copy(stored)) for stored in found]
        read = Path(copies.enter_context(TemporaryDirectory(dir=running.scratch)), "users.arrow")
        try:
            import_csv(paths, _USERS, read, minimum_rows=0)
        except DatasetImportError as error:
            raise JobFailed(str(error)) from None
        return pl.read_ipc(read)[COLUMN].drop_nulls().unique()


def _without(part: Path, users: pl.Series, tag: str) -> int:
    """Rewrite one file of an import without these users, whole; how many rows that took."""
    table = pl.read_ipc(part)
    kept = table.filter(~pl.col(COLUMN).is_in(users.implode()))
    if len(kept) < len(table):
        partial = part.with_name(f".{part.name}-{tag}")
        try:
            kept.write_ipc(partial, compression="uncompressed")
            sync(partial)
            partial.replace(part)
        finally:
            partial.unlink(missing_ok=True)
    return len(table) - len(kept)
