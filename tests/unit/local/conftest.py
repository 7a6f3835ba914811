"""An empty backend, and one with the service's quotas made small."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_personalize.local.backend import Backend, open_backend
from tests.backends import INTERACTIONS_SCHEMA, call


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    return open_backend(tmp_path)


@pytest.fixture
def group(backend: Backend) -> str:
    """A dataset group with an Interactions dataset."""
    arn = call(backend, "CreateDatasetGroup", name="g")["datasetGroupArn"]
    schema = call(backend, "CreateSchema", name="interactions", schema=INTERACTIONS_SCHEMA)
    call(backend, "CreateDataset", name="i", **schema, datasetGroupArn=arn, datasetType="Interactions")
    return str(arn)
