"""For each item the users who would like it most, with the newest model.

Starts by itself when `personalize_train` is done, or by hand. Reads JSON Lines such as `{"itemId": "4"}` and leaves one
row for each of them in `<output folder>/personalize_batch_segment/<run id>/<input name>.out`:

    {"input": {"itemId": "4"}, "output": {"usersList": ["17","3"]}, "error": null}

`check_input` fails before anything is paid for when too many rows are wrong. A row that cannot be answered says so in
its `error` and costs no other row; `check_output` counts them, and fails when there are too many.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, chain
from personalize_suite import (
    BATCH_PARAMS,
    DEFAULT_ARGS,
    INPUT_PARAM,
    MODELS,
    SEGMENT_RECIPES,
    check_input,
    check_output,
    form,
    input_rows,
    known_version,
    output_folder,
    solution_otherwise,
)

from airflow_provider_personalize.hooks.resources import BATCH_SEGMENT_JOB
from airflow_provider_personalize.operators.batch_jobs import PersonalizeBatchSegmentJobOperator

with DAG(
    dag_id="personalize_batch_segment",
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
            25, type="integer", minimum=1, maximum=5_000_000, title="Users an item", description_md="Best first."
        ),
    },
) as dag:
    find_segments = PersonalizeBatchSegmentJobOperator(
        task_id="find_segments",
        solution_version_arn=known_version(SEGMENT_RECIPES),
        solution_arn=solution_otherwise(SEGMENT_RECIPES),
        input_uri=input_rows("items.json"),
        output_uri=output_folder,
        num_results="{{ params.num_results }}",
        role_arn=form("role_arn"),
        doc_md="Creates the batch segment job, or finds the one this run already created, and waits for it.",
    )
    chain(
        check_input(SEGMENT_RECIPES, input_rows("items.json")),
        find_segments,
        check_output(BATCH_SEGMENT_JOB, find_segments.task_id, SEGMENT_RECIPES),
    )
