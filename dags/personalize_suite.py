"""What the Personalize DAGs share: their defaults, where a task finds what it needs, and the tasks around a batch job.

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
from collections.abc import Iterable
from typing import Any

import orjson
from airflow.sdk import Asset, ObjectStoragePath, Param, task
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.resources import (
    ACTIVE,
    DATASET_GROUP,
    FILTER,
    SOLUTION,
    PersonalizeResource,
)
from airflow_provider_personalize.operators.check_output import PersonalizeCheckBatchOutputOperator
from airflow_provider_personalize.operators.output_table import PersonalizeBatchOutputToTableOperator
from airflow_provider_personalize.operators.validate_input import PersonalizeValidateBatchInputOperator

CONN_ID = os.environ.get("PERSONALIZE_CONN_ID", "aws_default")
DEFAULT_DATASET_GROUP = os.environ.get("PERSONALIZE_DATASET_GROUP", "personalize")
DATA_URI = os.environ.get("PERSONALIZE_DATA_URI", "s3://<bucket>/personalize/data")
OUTPUT_URI = os.environ.get("PERSONALIZE_OUTPUT_URI", "s3://<bucket>/personalize/output")

MODELS = Asset("personalize_models")
"""The models of a dataset group, trained. An event's extra has ``dataset_group``, ``data_uri`` and
``solution_versions``: the ARN of each recipe's new solution version."""

MOST_EVENTS = 100
"""How many trainings, of all dataset groups, to look back for the last one of a dataset group."""

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
        "The ARN of the model to ask. Empty: the one of the training that started this run, or the newest.",
    ),
    "output_uri": Param(
        OUTPUT_URI,
        type="string",
        minLength=1,
        title="Output folder",
        description_md="Each run writes into a folder of its own under it: `<DAG>/<run id>/`.",
    ),
    "bad_rows": Param(
        "1%",
        type="string",
        pattern=r"^[0-9]+(\.[0-9]+)?%?$",
        title="Bad rows",
        description_md="How many rows may be wrong in the input or fail in the output: a number, or a share like `1%`.",
    ),
    "role_arn": ROLE_PARAM,
}

INPUT_PARAM = optional(
    "Input file",
    "JSON Lines, one question a line. Empty: the one in the data folder of the training that started this run, or in "
    f"`{DATA_URI}` in a run by hand.",
)

EXCLUDE_SEEN_PARAM = Param(
    True,
    type="boolean",
    title="Leave out what the user already has",
    description_md="Uses the dataset group's filter on Interactions. Without it nothing is left out.",
)


def table_params(table: str) -> dict[str, Param]:
    """Where results are published. Each DAG has a table of its own, since their columns differ."""
    return {
        "sql_conn_id": optional(
            "Database",
            "A connection to any SQL database. Empty: a Parquet file, `<output folder>/<DAG>/table/<run id>.parquet`.",
        ),
        "table": Param(
            table,
            type="string",
            minLength=1,
            title="Table",
            description_md="In the database; made when it does not exist.",
        ),
    }


def form(name: str) -> Field:
    """The form's value as it is, where Jinja would make the text ``None`` of an empty field."""
    return lambda context, jinja_env: context["params"][name]


def training(context: Any) -> dict[str, Any]:
    """What the training published (see ``MODELS``) that started this run, or that its task ``published_models`` found;
    of several trainings, the last.

    Empty for a run without either, and where a training that started a run is not of the form's dataset group.
    """
    if found := context["ti"].xcom_pull(task_ids="published_models"):
        return dict(found)
    events = [event for events in (context.get("triggering_asset_events") or {}).values() for event in events]
    if context["params"]["dataset_group"] or not events:
        return {}
    return dict(max(events, key=lambda event: event.timestamp).extra)


@task(
    inlets=[MODELS],
    doc_md="Finds the models that the last training published, so that none is used that its gate has held back. "
    "Where there are none, the newest are used.",
)
def published_models(**context: Any) -> dict[str, Any] | None:
    group = context["params"]["dataset_group"] or DEFAULT_DATASET_GROUP
    events = context["inlet_events"][MODELS].ascending(False).limit(MOST_EVENTS)
    return next((dict(event.extra) for event in events if event.extra.get("dataset_group") == group), None)


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


def excluded(context: Any, jinja_env: Any) -> str | None:
    """The ARN of that filter, if the form asks for it."""
    if not context["params"]["exclude_seen"]:
        return None
    return required_arn(FILTER, unseen_filter(dataset_group(context)))


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


def output_uri_of(context: Any, *parts: str) -> str:
    """A place of this DAG's own below the form's output folder."""
    return "/".join([context["params"]["output_uri"].rstrip("/"), context["dag"].dag_id, *parts])


def run_name(context: Any) -> str:
    """The run's id as part of a file's name. A run may have no date, but it always has an id."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", context["run_id"])


def output_folder(context: Any, jinja_env: Any) -> str:
    """A folder of the run's own: ``<output>/<DAG>/<run id>/``."""
    return output_uri_of(context, run_name(context), "")


def write_questions(context: Any, member: str, ids: Iterable[str]) -> str:
    """Write the input of a batch job, ``{member: id}`` a line; its URI, ``<output>/<DAG>/input/<run id>.json``.

    Not in the run's output folder, where a job would find its own output among its input.
    """
    path = ObjectStoragePath(questions_uri(context), conn_id=CONN_ID)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(orjson.dumps({member: id_}) + b"\n" for id_ in ids))
    return questions_uri(context)


def questions_uri(context: Any, jinja_env: Any = None) -> str:
    """Where the run's own questions are, see :func:`write_questions`."""
    return output_uri_of(context, "input", f"{run_name(context)}.json")


def finished_job(job: PersonalizeResource, task_id: str, recipes: tuple[str, ...]) -> Field:
    """The ARN of the job that the run's task ``task_id`` created; without such a task, of the model's newest."""

    def resolve(context: Any, jinja_env: Any) -> str:
        if arn := context["ti"].xcom_pull(task_ids=task_id):
            return str(arn)
        model = known_version(recipes)(context) or hook().latest_active_solution_version(
            solution(dataset_group(context), recipes)
        )
        jobs = [job_ for job_ in hook().summaries(job, solutionVersionArn=model) if job_["status"] == ACTIVE]
        if not jobs:
            raise AirflowFailException(f"There is no finished {job.label} of {model}. Run the task {task_id} first.")
        return str(max(jobs, key=lambda summary: summary["creationDateTime"])[job.arn_member])

    return resolve


# Tasks of several DAGs ------------------------------------------------------------------------------------------------


def check_input(
    recipes: tuple[str, ...], input_uri: Field, filter_arn: Field | None = None
) -> PersonalizeValidateBatchInputOperator:
    return PersonalizeValidateBatchInputOperator(
        task_id="check_input",
        solution_version_arn=known_version(recipes),
        solution_arn=solution_otherwise(recipes),
        input_uri=input_uri,
        output_uri=output_folder,
        filter_arn=filter_arn,
        max_bad_rows="{{ params.bad_rows }}",
        doc_md="Reads the input as the job will, and fails before the job costs anything when it is not good.",
    )


def check_output(
    job: PersonalizeResource, task_id: str, recipes: tuple[str, ...]
) -> PersonalizeCheckBatchOutputOperator:
    return PersonalizeCheckBatchOutputOperator(
        task_id="check_output",
        job_arn=finished_job(job, task_id, recipes),
        max_failed_rows="{{ params.bad_rows }}",
        doc_md="Compares the output with the input: rows answered, failed, missing and short, with the first reasons.",
    )


def table_uri(context: Any, jinja_env: Any) -> str | None:
    """A Parquet file a run, all in one folder, unless the form names a database."""
    return None if context["params"]["sql_conn_id"] else output_uri_of(context, "table", f"{run_name(context)}.parquet")


def table_name(context: Any, jinja_env: Any) -> str | None:
    return context["params"]["table"] if context["params"]["sql_conn_id"] else None


def publish(job: PersonalizeResource, task_id: str, recipes: tuple[str, ...]) -> PersonalizeBatchOutputToTableOperator:
    return PersonalizeBatchOutputToTableOperator(
        task_id="publish",
        job_arn=finished_job(job, task_id, recipes),
        parquet_uri=table_uri,
        sql_conn_id=form("sql_conn_id"),
        table=table_name,
        doc_md="Writes the answers to a table, one row a result. A second attempt replaces what the first one wrote.",
    )
