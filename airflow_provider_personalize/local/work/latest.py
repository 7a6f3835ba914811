"""A dataset group's data as live answers see them, held until they are others.

A batch job reads the data once; a live answer must not read them each time. What is held of a group is one thing or
nothing: its data, the models that follow them and the filters compiled over them go together.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import orjson

from airflow_provider_personalize.local.backend import Backend
from airflow_provider_personalize.local.datasets.dataset import Datasets
from airflow_provider_personalize.local.filters import Filter
from airflow_provider_personalize.local.models import Model
from airflow_provider_personalize.local.scoring.selection import Selection
from airflow_provider_personalize.local.store import Resource
from airflow_provider_personalize.local.work.answering import followed, opened_model
from airflow_provider_personalize.local.work.dataset_group import datasets_of
from airflow_provider_personalize.local.work.filtering import NamedFilter, compiled_over
from airflow_provider_personalize.local.work.histories import behind, revision
from airflow_provider_personalize.local.work.running import JobFailed

_HELD_GROUPS = 4
_HELD_CONFIGURATIONS = 8  # of one revision of a group: what campaigns say, each with the items packed for it
_HELD_FILTERS = 32  # of one revision of a group; a dataset group has at most 30 by default


class Latest:
    """One dataset group's latest data. Threads may share it."""

    def __init__(self, backend: Backend, group_arn: str) -> None:
        self._backend = backend
        self._group_arn = group_arn
        self._lock = Lock()
        self._forget(())

    def _forget(self, now: tuple[str, ...]) -> None:
        self._revision = now
        self._read: Datasets | None = None
        self._models: dict[Path, Model] = {}
        self._configured: dict[tuple[Path, bytes], Model] = {}
        self._filters: dict[tuple[str, Path], Filter] = {}

    def answered_from(
        self, directory: Path, config: Mapping[str, Any], filter_: Resource | None, row: Mapping[str, Any]
    ) -> tuple[Model, Selection | None]:
        """The model in a directory with the data of now and this configuration, and what a filter leaves it for a row.

        Raises :class:`JobFailed` where the filter does not fit the model or the row.
        """
        with self._lock:  # a filter holds sets from row to row, and one reading is enough
            now = revision(self._backend, self._group_arn)
            if now != self._revision:
                self._forget(now)
            if directory not in self._models:
                self._models[directory] = self._followed(opened(directory))
            model = self._with(config, directory)
            if filter_ is None:
                return model, None
            selection, refused = self._filter(filter_, directory).select([row])
        if refused:
            raise JobFailed(refused[0])
        return model, selection

    @property
    def _datasets(self) -> Datasets:
        if self._read is None:
            self._read = datasets_of(self._backend, self._group_arn)
        return self._read

    def _followed(self, model: Model) -> Model:
        return followed(model, self._datasets) if behind(self._backend, self._group_arn, model) else model

    def _with(self, config: Mapping[str, Any], directory: Path) -> Model:
        key = directory, orjson.dumps(config, option=orjson.OPT_SORT_KEYS)
        if key not in self._configured:
            _make_room(self._configured, _HELD_CONFIGURATIONS)
            self._configured[key] = self._models[directory].configured(config)
        return self._configured[key]

    def _filter(self, filter_: Resource, directory: Path) -> Filter:
        named = NamedFilter.of(filter_)
        key = named.expression, directory
        if key not in self._filters:
            _make_room(self._filters, _HELD_FILTERS)
            recent = self._backend.settings.filter_recent_events
            self._filters[key] = compiled_over(self._datasets, named, self._models[directory], recent)
        return self._filters[key]


def _make_room(held: dict[Any, Any], most: int) -> None:
    """For one more, by what came first."""
    if len(held) >= most:
        held.pop(next(iter(held)))


@lru_cache(maxsize=_HELD_GROUPS)
def latest(backend: Backend, group_arn: str) -> Latest:
    """What this process holds of a dataset group."""
    return Latest(backend, group_arn)


@lru_cache(maxsize=8)
def opened(directory: Path) -> Model:
    """A model is mapped, not read, and never changes: the next answer finds it open."""
    return opened_model(directory)
