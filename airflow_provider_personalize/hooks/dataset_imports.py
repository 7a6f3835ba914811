"""The imports of a dataset group, as far as a solution version knows of them.

A training reads what was imported before its solution version was created; of what ended later, nothing. Models of
user segments read what a ``FULL`` import brought alone
(https://docs.aws.amazon.com/personalize/latest/dg/getting-user-segments.html).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from airflow_provider_personalize.batch.recipes import SEGMENT_RECIPES
from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.resources import ACTIVE, DATASET, DATASET_IMPORT_JOB

# Of at most 100 imports each.
MOST_PAGES = 10


@dataclass(frozen=True, slots=True)
class VersionImports:
    """The ``ACTIVE`` imports around one solution version, as List operations summarise them.

    :ivar newest: of those that ended before the version was created, the one that was created last; None without any.
    :ivar since: those that ended later, oldest first.
    """

    newest: dict[str, Any] | None
    since: list[dict[str, Any]]


def imports_around(hook: PersonalizeHook, version: dict[str, Any]) -> VersionImports:
    """Look through the imports into every dataset of a version's dataset group.

    The service lists newest first, so a dataset's search ends at the first page that has one of before the version, and
    after a thousand imports.

    :param version: the description of a solution version.
    """
    created = version["creationDateTime"]
    full_alone = str(version.get("recipeArn")).rpartition("/")[2] in SEGMENT_RECIPES
    before, since = [], []
    for dataset in hook.summaries(DATASET, datasetGroupArn=version["datasetGroupArn"]):
        for page in import_pages(hook, dataset["datasetArn"]):
            read = [
                job
                for job in page
                if job["status"] == ACTIVE and (not full_alone or job.get("importMode", "FULL") == "FULL")
            ]
            known = [job for job in read if job["lastUpdatedDateTime"] <= created]
            since += [job for job in read if job["lastUpdatedDateTime"] > created]
            before += known
            if known:
                break
    return VersionImports(max(before, key=_created, default=None), sorted(since, key=_created))


def import_pages(hook: PersonalizeHook, dataset_arn: str) -> Iterator[list[dict[str, Any]]]:
    """The imports into a dataset as ListDatasetImportJobs summarises them, newest first, to a bound."""
    return islice(hook.pages(DATASET_IMPORT_JOB, datasetArn=dataset_arn), MOST_PAGES)


def _created(job: dict[str, Any]) -> Any:
    return job["creationDateTime"]
