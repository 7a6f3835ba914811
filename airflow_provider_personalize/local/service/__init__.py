"""What each operation means, one module a resource family. Arrays are never touched here: that is the runner's work."""

from __future__ import annotations

from airflow_provider_personalize.local.service import (
    batch_jobs,
    dataset_groups,
    dataset_import_jobs,
    datasets,
    filters,
    recipes,
    schemas,
    solution_versions,
    solutions,
    tags,
)
from airflow_provider_personalize.local.service.call import Call, Operation

__all__ = ["OPERATIONS", "Call"]

OPERATIONS: dict[str, Operation] = {
    name: operation
    for family in (
        batch_jobs,
        dataset_groups,
        dataset_import_jobs,
        datasets,
        filters,
        recipes,
        schemas,
        solution_versions,
        solutions,
        tags,
    )
    for name, operation in family.OPERATIONS.items()
}
