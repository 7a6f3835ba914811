"""The users to write to about some items, published once a person has approved them.

Type the items of the campaign into the form. The DAG finds the users who would like each of them most, checks the
answers, and then waits at `approve`: whoever may answer sees how many users were found, under *Required Actions* in the
UI. *Approve* writes the segments to a table, with the columns `run_key`, `item_id`, `rank` and `user_id`; *Reject* ends
the run without. Nobody answers within three days: that is a *Reject*.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param, chain, task
from personalize_suite import (
    BATCH_PARAMS,
    DEFAULT_ARGS,
    SEGMENT_RECIPES,
    check_input,
    check_output,
    form,
    known_version,
    output_folder,
    publish,
    published_models,
    questions_uri,
    solution_otherwise,
    table_params,
    write_questions,
)

from airflow_provider_personalize.hooks.resources import BATCH_SEGMENT_JOB
from airflow_provider_personalize.operators.batch_jobs import PersonalizeBatchSegmentJobOperator

FOUND = """\
{% set found = ti.xcom_pull(task_ids="check_output") or {} %}
| | |
|---|---|
| items asked about | {{ found.get("input_rows", "unknown") }} |
| segments found | {{ found.get("answered", "unknown") }} |
| users in them | {{ found.get("results", "unknown") }} |
| segments with fewer users than asked for | {{ found.get("short", "unknown") }} |
| rows that failed | {{ found.get("failed", "unknown") }} |
| files | {{ found.get("output_files", []) | join(", ") }} |
"""

with DAG(
    dag_id="personalize_campaign",
    doc_md=__doc__,
    tags=["personalize", "batch"],
    schedule=None,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    default_args=DEFAULT_ARGS,
    params={
        "item_ids": Param(
            [],
            type="array",
            items={"type": "string", "minLength": 1},
            title="Items",
            description_md="The ids of the campaign's items, one a line.",
        ),
        **BATCH_PARAMS,
        "num_results": Param(
            1000, type="integer", minimum=1, maximum=5_000_000, title="Users an item", description_md="Best first."
        ),
        **table_params("personalize_segments"),
    },
) as dag:

    @task(doc_md="Writes a row for each item of the form; returns where.")
    def items(**context: Any) -> str:
        return write_questions(context, "itemId", dict.fromkeys(context["params"]["item_ids"]))

    find_segments = PersonalizeBatchSegmentJobOperator(
        task_id="find_segments",
        solution_version_arn=known_version(SEGMENT_RECIPES),
        solution_arn=solution_otherwise(SEGMENT_RECIPES),
        input_uri=questions_uri,
        output_uri=output_folder,
        num_results="{{ params.num_results }}",
        role_arn=form("role_arn"),
        doc_md="Creates the batch segment job, or finds the one this run already created, and waits for it.",
    )
    approve = ApprovalOperator(
        task_id="approve",
        subject="Publish the segments of this campaign?",
        body=FOUND,
        defaults="Reject",
        response_timeout=timedelta(days=3),
        doc_md="Waits for a person. Without an answer within three days nothing is published.",
    )
    chain(
        published_models(),
        items(),
        check_input(SEGMENT_RECIPES, questions_uri),
        find_segments,
        check_output(BATCH_SEGMENT_JOB, find_segments.task_id, SEGMENT_RECIPES),
        approve,
        publish(BATCH_SEGMENT_JOB, find_segments.task_id, SEGMENT_RECIPES),
    )
