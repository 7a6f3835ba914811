"""What a job sees of a dataset group: the same from beginning to end, wherever its rows are answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_personalize.local.datasets.dataset import Datasets, load_datasets
from airflow_provider_personalize.local.datasets.schema import DatasetSchema


@dataclass(frozen=True)
class Snapshot:
    """The files of a dataset group and their schemas at one moment, by dataset type; cheap to send to a process."""

    files: Mapping[str, Sequence[Path]]
    schemas: Mapping[str, DatasetSchema]

    def load(self) -> Datasets:
        return load_datasets(self.files, self.schemas)
