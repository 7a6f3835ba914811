"""Every night, recommendations for the users who were active of late, as a table.

Most users of a large service do not come back tomorrow, and each row of a batch job is paid for. So this DAG asks only
for those with an event in the last days of `interactions.csv`, and writes the answers where other systems read them:
a Parquet file a run, or a table of a database, with the columns `run_key`, `user_id`, `rank`, `item_id` and `score`.

Days count back from the newest event of the file, not from today: a second attempt then asks for the same users, and
old data has active users too.
"""

from __future__ import annotations

import csv
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, CronTriggerTimetable, ObjectStoragePath, Param, chain, task
from airflow.sdk.exceptions import AirflowFailException
from personalize_suite import (
    BATCH_PARAMS,
    CONN_ID,
    DEFAULT_ARGS,
    EXCLUDE_SEEN_PARAM,
    USER_RECIPES,
    check_input,
    check_output,
    data_uri,
    excluded,
    form,
    known_version,
    optional,
    output_folder,
    publish,
    published_models,
    questions_uri,
    solution_otherwise,
    table_params,
    write_questions,
)

from airflow_provider_personalize.hooks.resources import BATCH_INFERENCE_JOB
from airflow_provider_personalize.operators.batch_jobs import PersonalizeBatchInferenceJobOperator

DAY = 24 * 60 * 60


def latest_events(path: ObjectStoragePath) -> dict[str, int]:
    """User -> the time of the user's newest event, in seconds since the epoch."""
    latest: dict[str, int] = {}
    with path.open("r", encoding="utf-8", newline="") as lines:
        for event in csv.DictReader(lines):
            user, time = event["USER_ID"], int(event["TIMESTAMP"])
            latest[user] = max(time, latest.get(user, time))
    return latest


with DAG(
    dag_id="personalize_active_users",
    doc_md=__doc__,
    tags=["personalize", "batch"],
    # No start date: with one, Airflow starts last night's run as soon as the DAG is unpaused, even with catchup off.
    schedule=CronTriggerTimetable("0 3 * * *", timezone="UTC", run_immediately=timedelta()),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    default_args=DEFAULT_ARGS,
    params={
        **BATCH_PARAMS,
        "data_uri": optional("Data folder", "The folder with `interactions.csv`. Empty: that of the training data."),
        "active_days": Param(
            7,
            type="integer",
            minimum=1,
            title="Days",
            description_md="A user is active who had an event within so many days before the newest event of all.",
        ),
        "num_results": Param(
            25, type="integer", minimum=1, maximum=500, title="Items a user", description_md="At most so many."
        ),
        "exclude_seen": EXCLUDE_SEEN_PARAM,
        **table_params("personalize_recommendations"),
    },
) as dag:

    @task(doc_md="Writes a row for each active user; returns where.")
    def active_users(**context: Any) -> str:
        uri = data_uri(context, "interactions.csv")
        latest = latest_events(ObjectStoragePath(uri, conn_id=CONN_ID))
        if not latest:
            raise AirflowFailException(f"{uri} has no events.")
        since = max(latest.values()) - context["params"]["active_days"] * DAY
        return write_questions(context, "userId", sorted(user for user, time in latest.items() if time > since))

    recommend = PersonalizeBatchInferenceJobOperator(
        task_id="recommend",
        solution_version_arn=known_version(USER_RECIPES),
        solution_arn=solution_otherwise(USER_RECIPES),
        input_uri=questions_uri,
        output_uri=output_folder,
        num_results="{{ params.num_results }}",
        filter_arn=excluded,
        role_arn=form("role_arn"),
        doc_md="Creates the batch inference job, or finds the one this run already created, and waits for it.",
    )
    chain(
        published_models(),
        active_users(),
        check_input(USER_RECIPES, questions_uri, excluded),
        recommend,
        check_output(BATCH_INFERENCE_JOB, recommend.task_id, USER_RECIPES),
        publish(BATCH_INFERENCE_JOB, recommend.task_id, USER_RECIPES),
    )
