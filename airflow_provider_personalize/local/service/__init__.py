"""What each operation means, one module a resource family. Arrays are never touched here: that is the runner's work."""

from __future__ import annotations

from airflow_provider_personalize.local.service import (
    batch_jobs,
    campaigns,
    data_deletion_jobs,
    dataset_export_jobs,
    dataset_groups,
    dataset_import_jobs,
    datasets,
    event_trackers,
    events,
    filters,
    recipes,
    runtime,
    schemas,
    solution_versions,
    solutions,
    tags,
)
from airflow_provider_personalize.local.service.call import Call, Operation
from airflow_provider_personalize.local.service.refused import REFUSED

__all__ = ["OPERATIONS", "REFUSED", "Call"]

OPERATIONS: dict[str, Operation] = {
    name: operation
    for family in (
        batch_jobs,
        campaigns,
        data_deletion_jobs,
        dataset_export_jobs,
        dataset_groups,
        dataset_import_jobs,
        datasets,
        event_trackers,
        events,
        filters,
        recipes,
        runtime,
        schemas,
        solution_versions,
        solutions,
        tags,
    )
    for name, operation in family.OPERATIONS.items()
}
