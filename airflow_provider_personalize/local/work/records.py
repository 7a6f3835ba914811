"""Records that clients put into a dataset one by one, as a table like that of an import."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from airflow_provider_personalize.local.backend import Backend
from airflow_provider_personalize.local.datasets.dataset import COLUMN_TYPES
from airflow_provider_personalize.local.datasets.schema import DatasetSchema
from airflow_provider_personalize.local.service.events import SESSION


def records_of(backend: Backend, dataset_arn: str, schema: DatasetSchema) -> pl.DataFrame:
    """The records put into a dataset, oldest first; columns bear the schema's names in upper case.

    An event without a user belongs to the user that another event of its session names; without one it is left out.
    """
    records = backend.store.records_of(dataset_arn)
    if schema.dataset_type in ("INTERACTIONS", "ACTION_INTERACTIONS"):
        users = users_of_sessions(records)
        records = [_with_user(record, users) for record in records if record["USER_ID"] or record[SESSION] in users]
    columns = {field.name.upper(): COLUMN_TYPES[field.type] for field in schema.fields}
    return pl.from_dicts(records, schema=columns) if records else pl.DataFrame(schema=columns)


def users_of_sessions(records: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Session -> the user whom the latest of its events that names one names."""
    return {record[SESSION]: record["USER_ID"] for record in records if record["USER_ID"]}


def _with_user(record: Mapping[str, Any], users: Mapping[str, str]) -> Mapping[str, Any]:
    return record if record["USER_ID"] else {**record, "USER_ID": users[record[SESSION]]}
