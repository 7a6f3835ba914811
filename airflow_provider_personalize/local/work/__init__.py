"""The work behind each kind of job, one module a kind. It knows nothing of processes or statuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, cast

from airflow_provider_personalize.local.work.running import JobFailed, LeaseLost, Running

__all__ = ["JobFailed", "LeaseLost", "Running", "live_work", "work_of"]

MODULES = {
    "data-deletion-job": "data_deletion",
    "dataset-export-job": "dataset_export",
    "dataset-import-job": "dataset_import",
    "solution-version": "training",
    "batch-inference-job": "batch",
    "batch-segment-job": "batch",
}


def work_of(kind: str) -> Callable[[Running], Mapping[str, Any]]:
    """The function that does a kind of job and returns what Describe shows beyond the request.

    Its module is imported only now, so that a scoring process never loads LightFM, nor an in-process client numpy.
    """
    return cast("Callable[[Running], Mapping[str, Any]]", import_module(f"{__name__}.{MODULES[kind]}").run)


def live_work() -> ModuleType:
    """The module :mod:`.live`, imported only now for the same reason."""
    return import_module(f"{__name__}.live")
