"""One local backend: a directory, a store, and settings.

The directory holds ``settings.toml`` (optional), ``store.sqlite`` (unless the store is PostgreSQL), ``datasets/``,
``models/`` and ``logs/``. Everything else in this package takes a :class:`Backend`.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

from airflow_provider_personalize.local.store import Store

# A store's URL may hold a password, so it reaches a runner through the environment and never through argv.
STORE_VARIABLE = "PERSONALIZE_LOCAL_STORE"
ACCOUNT = "000000000000"


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
    batch_input_files: int = 1000
    batch_input_bytes: int = 1_000_000_000
    batch_inference_rows: int = 50_000_000
    batch_theme_rows: int = 100
    item_affinity_rows: int = 500
    item_attribute_affinity_rows: int = 10
    # Rows an import of interactions must have (service quota).
    minimum_interactions: int = 1000
    # 1: output rows come in another order than the input's, as they may from the service, so that a DAG that relies on
    # the order fails at home.
    shuffle_rows: int = 0
    # The seed of every training; the same data and seed give the same model.
    seed: int = 1
    # Runner processes at a time; 0: one for each core this process may use.
    runners: int = 0
    # A runner that has not been heard of for so long has lost its job.
    lease_seconds: float = 30.0
    # How often a job whose runner died is taken again before it fails.
    attempts: int = 3

    @property
    def runner_limit(self) -> int:
        return self.runners or available_cores()


def available_cores() -> int:
    """Cores this process may run on, by affinity where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Backend:
    root: Path
    store: Store
    settings: Settings


def read_settings(path: Path) -> Settings:
    """Settings from a TOML file, defaults without one. Raises ``ValueError`` naming the key that is wrong."""
    if not path.exists():
        return Settings()
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from None
    known = {f.name: type(f.default) for f in fields(Settings)}
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"{path}: unknown setting '{name}'; known are {', '.join(sorted(known))}")
        if not isinstance(value, (int, float) if known[name] is float else int) or isinstance(value, bool) or value < 0:
            raise ValueError(f"{path}: '{name}' must be a number of zero or more, not {value!r}")
    return Settings(**given)


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
