"""What the three Personalize DAGs share: their defaults, where a task finds what it needs, and the end of a batch run.

A task takes each of its inputs from the first of these that has it: the run's form, the task before it (XCom), the
training that started the run (the asset event), the service itself. So one task also runs by itself, with
``airflow tasks test``, in a run that has neither of the middle two.

Nothing is read from the network, a disk or Airflow's database while a DAG file is parsed, only these variables of the
environment, which give the forms their defaults:

==========================  ==========================================================================
PERSONALIZE_CONN_ID         the connection of every task; it decides between AWS and a local backend
PERSONALIZE_DATASET_GROUP   the dataset group of runs that name none
PERSONALIZE_DATA_URI        the folder with interactions.csv, items.csv, users.json ...
PERSONALIZE_OUTPUT_URI      the folder under which each run writes a folder of its own
==========================  ==========================================================================
"""

from __future__ import annotations

import os
import re
from typing import Any

from airflow.sdk import Asset, ObjectStoragePath, Param, task
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_personalize.batch.output import read_output
from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.resources import (
    ACTIVE,
    DATASET_GROUP,
    FILTER,
    SOLUTION,
    PersonalizeResource,
)

CONN_ID = os.environ.get("PERSONALIZE_CONN_ID", "aws_default")
DEFAULT_DATASET_GROUP = os.environ.get("PERSONALIZE_DATASET_GROUP", "personalize")
DATA_URI = os.environ.get("PERSONALIZE_DATA_URI", "s3://your-bucket/personalize/data")
OUTPUT_URI = os.environ.get("PERSONALIZE_OUTPUT_URI", "s3://your-bucket/personalize/output")

MODELS = Asset("personalize_models")
"""The models of a dataset group, trained. An event's extra has ``dataset_group``, ``data_uri`` and
``solution_versions``: the ARN of each recipe's new solution version."""

USER_RECIPES = ("aws-user-personalization-v2", "aws-user-personalization")
SEGMENT_RECIPES = ("aws-item-affinity",)

DEFAULT_ARGS: dict[str, Any] = {"retries": 2, "aws_conn_id": CONN_ID}

Field = Any
"""A template field as a function, which Airflow calls with the context when the task starts."""


def optional(title: str, description: str) -> Param:
    """A form field that may stay empty, because the connection, a training or the service knows its value."""
    return Param(None, type=["null", "string"], title=title, description_md=description)


ROLE_PARAM = optional("IAM role", "Personalize assumes it to reach the data. Empty: the `role_arn` of the connection.")

BATCH_PARAMS = {
    "dataset_group": optional(
        "Dataset group",
        f"Empty: the one whose training started this run, or `{DEFAULT_DATASET_GROUP}` in a run by hand.",
    ),
    "solution_version_arn": optional(
        "Solution version",
        "The ARN of the model to ask. Empty: the one just trained, or the newest.",
    ),
    "input_uri": optional("Input file", "JSON Lines, one question a line. Empty: the one beside the training data."),
    "output_uri": Param(
        OUTPUT_URI,
        type="string",
        minLength=1,
        title="Output folder",
        description_md="Each run writes into a folder of its own under it: `<DAG>/<run id>/`.",
    ),
    "role_arn": ROLE_PARAM,
}


def form(name: str) -> Field:
    """The form's value as it is, where Jinja would make the text ``None`` of an empty field."""
    return lambda context, jinja_env: context["params"][name]


def training(context: Any) -> dict[str, Any]:
    """What the training that started this run published (see ``MODELS``); of several trainings, the last.

    Empty for a run that no training started, and for one whose form names a dataset group itself.
    """
    events = [event for events in (context.get("triggering_asset_events") or {}).values() for event in events]
    if context["params"]["dataset_group"] or not events:
        return {}
    return dict(max(events, key=lambda event: event.timestamp).extra)


def dataset_group(context: Any) -> str:
    return context["params"]["dataset_group"] or training(context).get("dataset_group") or DEFAULT_DATASET_GROUP


def data_uri(context: Any, name: str) -> str:
    """The URI of one file beside the training data."""
    folder = context["params"].get("data_uri") or training(context).get("data_uri") or DATA_URI
    return f"{folder.rstrip('/')}/{name}"


def hook() -> PersonalizeHook:
    return PersonalizeHook(aws_conn_id=CONN_ID)


def arn_of(resource: PersonalizeResource, name: str) -> str | None:
    """The ARN of a named resource; None when the service has no such resource.

    A name's ARN needs an account and a region: those of any dataset group, since the only other source is STS.
    """
    personalize = hook()
    for group in personalize.summaries(DATASET_GROUP):
        arn = personalize.job_arn(resource.kind, name, group["datasetGroupArn"])
        return arn if personalize.find(resource, arn) else None
    return None


def required_arn(resource: PersonalizeResource, name: str) -> str:
    if arn := arn_of(resource, name):
        return arn
    raise AirflowFailException(
        f"The service has no {resource.label} {name!r}. Run personalize_train, or name another dataset group."
    )


def solution_name(group: str, recipe: str) -> str:
    """A solution never changes its recipe, so the recipe is part of its name."""
    return f"{group}-{recipe.removeprefix('aws-')}"


def unseen_filter(group: str) -> str:
    """The name of the dataset group's filter that leaves out what a user already has."""
    return f"{group}-unseen"


def unseen_filter_arn(group: str) -> str:
    return required_arn(FILTER, unseen_filter(group))


def solution(group: str, recipes: tuple[str, ...]) -> str:
    """The ARN of the dataset group's solution with the first of these recipes that has one."""
    found = next(filter(None, (arn_of(SOLUTION, solution_name(group, recipe)) for recipe in recipes)), None)
    return found or required_arn(SOLUTION, solution_name(group, recipes[0]))


def known_version(recipes: tuple[str, ...]) -> Field:
    """The solution version that the form names, or that has just been trained; None when neither says."""

    def resolve(context: Any, jinja_env: Any = None) -> str | None:
        trained = training(context).get("solution_versions", {})
        return next(filter(None, (context["params"]["solution_version_arn"], *map(trained.get, recipes))), None)

    return resolve


def solution_otherwise(recipes: tuple[str, ...]) -> Field:
    """The solution whose newest version to ask, when :func:`known_version` has none.

    Which version that is, the operator finds out: a retry then still asks for the same job, though a training may have
    ended meanwhile.
    """

    def resolve(context: Any, jinja_env: Any = None) -> str | None:
        return None if known_version(recipes)(context) else solution(dataset_group(context), recipes)

    return resolve


def input_rows(name: str) -> Field:
    """The form's input file, or else the file ``name`` beside the training data."""
    return lambda context, jinja_env: context["params"]["input_uri"] or data_uri(context, name)


def output_folder(context: Any, jinja_env: Any) -> str:
    """A folder of the run's own: ``<output>/<DAG>/<run id>/``. A run may have no date, but it always has an id."""
    run = re.sub(r"[^A-Za-z0-9._-]+", "_", context["run_id"])
    return f"{context['params']['output_uri'].rstrip('/')}/{context['dag'].dag_id}/{run}/"


def output_file_uri(context: Any, job: PersonalizeResource, task_id: str, recipes: tuple[str, ...]) -> str:
    """Where a batch job leaves its rows: ``<input name>.out`` in its output folder.

    The job is the one that the run's task ``task_id`` created; without such a task, the model's newest finished one.
    """
    arn = context["ti"].xcom_pull(task_ids=task_id)
    if not arn:
        model = known_version(recipes)(context) or hook().latest_active_solution_version(
            solution(dataset_group(context), recipes)
        )
        jobs = [job_ for job_ in hook().summaries(job, solutionVersionArn=model) if job_["status"] == ACTIVE]
        if not jobs:
            raise AirflowFailException(f"There is no finished {job.label} of {model}. Run the task {task_id} first.")
        arn = max(jobs, key=lambda summary: summary["creationDateTime"])[job.arn_member]
    facts = job.facts(arn, hook().describe(job, arn))
    name = facts["input_uri"].rpartition("/")[2]
    return f"{facts['output_uri'].rstrip('/')}/{name}.out"


def check_and_summarize(job: PersonalizeResource, task_id: str, recipes: tuple[str, ...]) -> tuple[Any, Any]:
    """The two tasks that end a batch run: is the output there, and what is in it."""

    @task(doc_md="Fails when the job is done and its output file is not where it should be.")
    def check_output(**context: Any) -> str:
        uri = output_file_uri(context, job, task_id, recipes)
        if not ObjectStoragePath(uri, conn_id=CONN_ID).exists():
            raise FileNotFoundError(f"The {job.label} is ACTIVE, but its output {uri} does not exist.")
        return uri

    @task(doc_md="Counts the job's rows and those with an error, and shows the first error.")
    def summary(**context: Any) -> dict[str, Any]:
        uri = output_file_uri(context, job, task_id, recipes)
        rows = errors = 0
        first_error = None
        with ObjectStoragePath(uri, conn_id=CONN_ID).open("rb") as lines:
            for row in read_output(lines):
                rows += 1
                if row.error is not None:
                    errors += 1
                    first_error = first_error or f"{row.input}: {row.error}"
        return {"output": uri, "rows": rows, "errors": errors, "first_error": first_error}

    return check_output(), summary()
