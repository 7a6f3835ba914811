"""Recommendations for many users at once, with the newest model.

Starts by itself when `personalize_train` is done, or by hand. Reads JSON Lines such as `{"userId": "17"}` and leaves
one row for each of them in `<output folder>/personalize_batch_inference/<run id>/<input name>.out`:

    {"input":{"userId":"17"},"output":{"recommendedItems":["4","8"],"scores":[0.0406197,0.0372557]},"error":null}

`check_input` fails before anything is paid for when too many rows are wrong. A row that cannot be answered says so in
its `error` and costs no other row; `check_output` counts them, and fails when there are too many.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, chain
from personalize_suite import (
    BATCH_PARAMS,
    DEFAULT_ARGS,
    EXCLUDE_SEEN_PARAM,
    INPUT_PARAM,
    MODELS,
    USER_RECIPES,
    check_input,
    check_output,
    excluded,
    form,
    input_rows,
    known_version,
    output_folder,
    solution_otherwise,
)

from airflow_provider_personalize.hooks.resources import BATCH_INFERENCE_JOB
from airflow_provider_personalize.operators.batch_jobs import PersonalizeBatchInferenceJobOperator

with DAG(
    dag_id="personalize_batch_inference",
    doc_md=__doc__,
    tags=["personalize", "batch"],
    schedule=[MODELS],
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    default_args=DEFAULT_ARGS,
    params={
        **BATCH_PARAMS,
        "input_uri": INPUT_PARAM,
        "num_results": Param(
            25,
            type="integer",
            minimum=1,
            maximum=500,
            title="Items a user",
            description_md="At most so many, best first.",
        ),
        "exclude_seen": EXCLUDE_SEEN_PARAM,
    },
) as dag:
    recommend = PersonalizeBatchInferenceJobOperator(
        task_id="recommend",
        solution_version_arn=known_version(USER_RECIPES),
        solution_arn=solution_otherwise(USER_RECIPES),
        input_uri=input_rows("users.json"),
        output_uri=output_folder,
        num_results="{{ params.num_results }}",
        filter_arn=excluded,
        role_arn=form("role_arn"),
        doc_md="Creates the batch inference job, or finds the one this run already created, and waits for it.",
    )
    chain(
        check_input(USER_RECIPES, input_rows("users.json"), excluded),
        recommend,
        check_output(BATCH_INFERENCE_JOB, recommend.task_id, USER_RECIPES),
    )
