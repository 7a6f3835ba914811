"""One local backend: a directory, a store, and settings.

The directory holds ``settings.toml`` (optional), ``store.sqlite`` (unless the store is PostgreSQL), ``datasets/``,
``models/`` and ``logs/``. Everything else in this package takes a :class:`Backend`.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

from airflow_provider_personalize.batch.recipes import QUOTAS
from airflow_provider_personalize.local.cores import available_cores
from airflow_provider_personalize.local.store import Store

# A store's URL may hold a password, so it reaches a runner through the environment and never through argv.
STORE_VARIABLE = "PERSONALIZE_LOCAL_STORE"
EXECUTOR_VARIABLE = "PERSONALIZE_LOCAL_EXECUTOR"
ACCOUNT = "000000000000"
_EXECUTOR = re.compile(r"|dask://[^/\s]+:\d+")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user may set in ``settings.toml``; the defaults are the service's own figures where it has one."""

    # Interactions filters see this many of a user's latest events per event type (service quota, "Quotas" page).
    filter_recent_events: int = 100
    # Jobs of one kind that may be pending or in progress (service quotas).
    unfinished_batch_inference_jobs: int = 5
    unfinished_batch_segment_jobs: int = 5
    unfinished_dataset_import_jobs: int = 5
    unfinished_dataset_export_jobs: int = 5
    unfinished_data_deletion_jobs: int = 5
    unfinished_solution_versions: int = 20
    # Resources there may be at a time, in a region or in a dataset group (service quotas).
    schemas: int = 500
    dataset_groups: int = 5
    solutions_per_dataset_group: int = 10
    campaigns_per_dataset_group: int = 5
    filters_per_dataset_group: int = 30
    fields_filtered_per_dataset_group: int = 20
    # What one batch job may read: objects, bytes in all, rows an object (service quotas).
    batch_input_files: int = QUOTAS.files
    batch_input_bytes: int = QUOTAS.bytes
    batch_inference_rows: int = QUOTAS.inference_rows
    batch_theme_rows: int = QUOTAS.theme_rows
    item_affinity_rows: int = QUOTAS.item_affinity_rows
    item_attribute_affinity_rows: int = QUOTAS.item_attribute_affinity_rows
    # Rows an import of interactions must have (service quota).
    minimum_interactions: int = 1000
    # 1: output rows come in another order than the input's, as they may from the service, so that a DAG that relies on
    # the order fails at home.
    shuffle_rows: int = 0
    # The seed of every training; the same data and seed give the same model.
    seed: int = 1
    # Runner processes at a time; 0: one for each core this process may use.
    runners: int = 0
    # Where the rows of a batch job are answered: empty for processes of this machine, or dask://host:port.
    executor: str = ""
    # Processes that share a batch job, and threads of each; 0: as many as keep the cores busy.
    processes: int = 0
    threads: int = 0
    # A runner that has not been heard of for so long has lost its job.
    lease_seconds: float = 30.0
    # How often a job whose runner died is taken again before it fails.
    attempts: int = 3

    @property
    def runner_limit(self) -> int:
        return self.runners or available_cores()


@dataclass(frozen=True, slots=True)
class Backend:
    root: Path
    store: Store
    settings: Settings


def read_settings(path: Path) -> Settings:
    """Settings from a TOML file, defaults without one. Raises ``ValueError`` naming the key that is wrong.

    An executor in the environment (:data:`EXECUTOR_VARIABLE`) goes before that of the file.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from None
    place = dict.fromkeys(given, str(path))
    if EXECUTOR_VARIABLE in os.environ:
        given["executor"], place["executor"] = os.environ[EXECUTOR_VARIABLE], EXECUTOR_VARIABLE
    known = {f.name: type(f.default) for f in fields(Settings)}
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"{place[name]}: unknown setting '{name}'; known are {', '.join(sorted(known))}")
        if known[name] is str:
            if not isinstance(value, str) or not _EXECUTOR.fullmatch(value):
                raise ValueError(f"{place[name]}: '{name}' must be empty or dask://host:port, not {value!r}")
        elif not _is_number(value, known[name]):
            raise ValueError(f"{place[name]}: '{name}' must be a number of zero or more, not {value!r}")
    return Settings(**given)


def _is_number(value: object, kind: type) -> bool:
    number = isinstance(value, (int, float) if kind is float else int) and not isinstance(value, bool)
    return number and value >= 0  # type: ignore[operator]


@lru_cache(maxsize=8)
def open_backend(root: Path, store_url: str | None = None) -> Backend:
    """The backend in directory ``root``, made when it is not there yet.

    Raises ``ValueError`` for wrong settings or a SQLite store on a network file system, ``OSError`` when the
    directory cannot be made.
    """
    store = Store(store_url) if store_url else Store.in_directory(root)
    root.mkdir(parents=True, exist_ok=True)
    store.create_tables()
    return Backend(root.resolve(), store, read_settings(root / "settings.toml"))
