"""Imports the data, trains the two models of a dataset group, and starts the batch DAGs.

The data folder holds `interactions.csv`, perhaps `items.csv` and `users.csv`, and beside each its Avro schema
(`interactions.schema.json` and so on). What the dataset group needs is made when it is missing: schemas, datasets, a
solution for recommendations, one for segments, and a filter that leaves out what a user already has.

When both models are trained and the recommendations are good enough (`metrics_gate`), the asset `personalize_models`
is updated, which starts `personalize_batch_inference` and `personalize_batch_segment` unless they are paused. A retry
never trains twice: it finds the training that it started.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, CronTriggerTimetable, Metadata, ObjectStoragePath, Param, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from personalize_suite import (
    CONN_ID,
    DATA_URI,
    DEFAULT_ARGS,
    DEFAULT_DATASET_GROUP,
    MODELS,
    ROLE_PARAM,
    SEGMENT_RECIPES,
    USER_RECIPES,
    Field,
    arn_of,
    data_uri,
    dataset_group,
    form,
    hook,
    solution,
    solution_name,
    unseen_filter,
)

from airflow_provider_personalize.hooks.resources import DATASET
from airflow_provider_personalize.operators.dataset_group import PersonalizeDatasetGroupOperator
from airflow_provider_personalize.operators.metrics_gate import PersonalizeSolutionMetricsGateOperator
from airflow_provider_personalize.operators.training import (
    PersonalizeDatasetImportJobOperator,
    PersonalizeSolutionVersionOperator,
)

DATASETS = ("INTERACTIONS", "ITEMS", "USERS")
REQUIRED = "INTERACTIONS"
NDCG = "normalized_discounted_cumulative_gain_at_10"


def data_path(context: Any, name: str) -> ObjectStoragePath:
    return ObjectStoragePath(data_uri(context, name), conn_id=CONN_ID)


def csv_name(dataset: str) -> str:
    return f"{dataset.lower()}.csv"


def trained_recipes(context: Any) -> tuple[str, str]:
    return context["params"]["recipe"], SEGMENT_RECIPES[0]


def declared(context: Any, jinja_env: Any) -> dict[str, Any]:
    """The dataset group as it should be. The schemas lie beside the data, so they are read when the task runs."""
    group = dataset_group(context)
    return {
        "name": group,
        "datasets": {
            dataset: {"schema": json.loads(data_path(context, f"{dataset.lower()}.schema.json").read_text())}
            for dataset in DATASETS
            if data_path(context, csv_name(dataset)).exists()
        },
        "solutions": [{"name": solution_name(group, recipe), "recipe": recipe} for recipe in trained_recipes(context)],
        "filters": [
            {"name": unseen_filter(group), "expression": 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'}
        ],
    }


def dataset_arn(dataset: str) -> Field:
    def resolve(context: Any, jinja_env: Any) -> str | None:
        if made := context["ti"].xcom_pull(task_ids="dataset_group"):
            return made["dataset_arns"].get(dataset)
        return arn_of(DATASET, f"{dataset_group(context)}/{dataset}")

    return resolve


def solution_arn(position: int) -> Field:
    def resolve(context: Any, jinja_env: Any) -> str:
        group, recipe = dataset_group(context), trained_recipes(context)[position]
        made = context["ti"].xcom_pull(task_ids="dataset_group")
        return made["solution_arns"][solution_name(group, recipe)] if made else solution(group, (recipe,))

    return resolve


def trained_version(task_id: str) -> Field:
    return lambda context, jinja_env: context["ti"].xcom_pull(task_ids=task_id)


def newest_version_otherwise(task_id: str, position: int) -> Field:
    """The solution whose newest version is meant, when the run's task ``task_id`` has trained none."""
    newest = solution_arn(position)

    def resolve(context: Any, jinja_env: Any) -> str | None:
        return None if context["ti"].xcom_pull(task_ids=task_id) else newest(context, jinja_env)

    return resolve


def asked(param: str) -> Field:
    return lambda context, jinja_env: {NDCG: context["params"][param]}


def location(dataset: str) -> Field:
    return lambda context, jinja_env: data_uri(context, csv_name(dataset))


def stop_without_file(dataset: str) -> Any:
    """Skips an import that has no file. Without interactions it fails: trainings would be paid for old data."""

    def check(context: Any) -> None:
        if not data_path(context, csv_name(dataset)).exists():
            absent = f"There is no {data_uri(context, csv_name(dataset))}."
            raise AirflowFailException(absent) if dataset == REQUIRED else AirflowSkipException(absent)

    return check


with DAG(
    dag_id="personalize_train",
    doc_md=__doc__,
    tags=["personalize", "training"],
    # No start date: with one, Airflow starts last Sunday's run as soon as the DAG is unpaused, even with catchup off.
    schedule=CronTriggerTimetable("0 0 * * 0", timezone="UTC", run_immediately=timedelta()),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    default_args=DEFAULT_ARGS,
    params={
        "dataset_group": Param(
            DEFAULT_DATASET_GROUP,
            type="string",
            pattern=r"^[a-zA-Z0-9][a-zA-Z0-9\-_]*$",
            maxLength=38,
            title="Dataset group",
            description_md="Made when it does not exist. Its schemas, solutions and filter are named after it.",
        ),
        "data_uri": Param(
            DATA_URI,
            type="string",
            minLength=1,
            title="Data folder",
            description_md=(
                "Holds `interactions.csv` (with an `EVENT_TYPE`), perhaps `items.csv` and `users.csv`, and the schema "
                "of each. An `s3://` folder; a local backend also takes `file://`."
            ),
        ),
        "import_mode": Param(
            "FULL",
            enum=["FULL", "INCREMENTAL"],
            title="Import mode",
            description_md="FULL replaces what was imported before. The first import of a dataset must be FULL.",
        ),
        "recipe": Param(
            USER_RECIPES[0],
            enum=list(USER_RECIPES),
            title="Recipe of the recommendations",
            description_md=f"Segments are made with `{SEGMENT_RECIPES[0]}`.",
        ),
        "least_ndcg": Param(
            0.0,
            type="number",
            minimum=0,
            maximum=1,
            title="Least NDCG@10",
            description_md="Recommendations that do worse on the held-out data are not published.",
        ),
        "tolerated_drop": Param(
            0.2,
            type="number",
            minimum=0,
            exclusiveMaximum=1,
            title="Tolerated drop",
            description_md="How much lower NDCG@10 may be than in the version before, as a share of it.",
        ),
        "role_arn": ROLE_PARAM,
    },
) as dag:
    group = PersonalizeDatasetGroupOperator(
        task_id="dataset_group",
        spec=declared,
        doc_md="Makes the dataset group and what belongs to it exist. What exists already stays as it is.",
    )
    imports = [
        PersonalizeDatasetImportJobOperator(
            task_id=f"import_{dataset.lower()}",
            dataset_arn=dataset_arn(dataset),
            data_location=location(dataset),
            import_mode="{{ params.import_mode }}",
            role_arn=form("role_arn"),
            pre_execute=stop_without_file(dataset),
            doc_md=f"Imports `{csv_name(dataset)}`. {'Fails' if dataset == REQUIRED else 'Skipped'} without that file.",
        )
        for dataset in DATASETS
    ]
    trainings = [
        PersonalizeSolutionVersionOperator(
            task_id=task_id,
            solution_arn=solution_arn(position),
            training_mode="FULL",
            trigger_rule="none_failed",
            doc_md=f"Trains the model that answers: {question}",
        )
        for position, (task_id, question) in enumerate(
            {
                "train_recommendations": "what would this user like?",
                "train_segments": "which users would like this item?",
            }.items()
        )
    ]
    metrics_gate = PersonalizeSolutionMetricsGateOperator(
        task_id="metrics_gate",
        solution_version_arn=trained_version("train_recommendations"),
        solution_arn=newest_version_otherwise("train_recommendations", 0),
        thresholds=asked("least_ndcg"),
        tolerated_drop=asked("tolerated_drop"),
        doc_md="Fails when the recommendations are worse than the form allows. No batch DAG is started then.",
    )

    @task(outlets=[MODELS], doc_md="Updates the asset `personalize_models`, which starts the two batch DAGs.")
    def publish_models(**context: Any) -> Iterator[Metadata]:
        group = dataset_group(context)
        arns = {
            recipe: context["ti"].xcom_pull(task_ids=training.task_id)
            or hook().latest_active_solution_version(solution(group, (recipe,)))
            for recipe, training in zip(trained_recipes(context), trainings, strict=True)
        }
        yield Metadata(
            MODELS,
            {"dataset_group": group, "data_uri": context["params"]["data_uri"], "solution_versions": arns},
        )

    group >> imports
    for training in trainings:
        imports >> training
    published = publish_models()
    trainings >> published
    trainings[0] >> metrics_gate >> published
