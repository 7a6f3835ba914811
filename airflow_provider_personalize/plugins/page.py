"""The page: one address, which shows the batch job of one task instance to whoever may read that task's XComs."""

from __future__ import annotations

import logging
import re
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from botocore.exceptions import BotoCoreError, ClientError
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from jinja2 import Environment
from starlette.exceptions import HTTPException

from airflow_provider_personalize._compat import AirflowException
from airflow_provider_personalize.exceptions import PersonalizeOutputError
from airflow_provider_personalize.failure_reasons import hint
from airflow_provider_personalize.hooks.resources import ACTIVE
from airflow_provider_personalize.operators.batch_output import FinishedJob
from airflow_provider_personalize.plugins.first_rows import first_rows
from airflow_provider_personalize.plugins.task_job import NoJobError, TaskJob, job_of

log = logging.getLogger(__name__)

app = FastAPI(title="Amazon Personalize", docs_url=None, redoc_url=None, openapi_url=None)

_TEMPLATE = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
    Path(__file__).with_name("page.html").read_text(encoding="utf-8")
)
_NO_WAY_OUT = ("base-uri 'none'", "form-action 'none'")
# What stands between this process and the job. Each says in its own words what is wrong, and none quotes a credential.
_TROUBLE = (AirflowException, BotoCoreError, ClientError, ImportError, OSError)


# Not a coroutine: it waits for the database, the service and the storage, so it runs in a thread.
@app.get(
    "/preview",
    dependencies=[Depends(requires_access_dag(method="GET", access_entity=DagAccessEntity.XCOM))],
)
def preview(dag_id: str, run_id: str, task_id: str, map_index: str = "") -> HTMLResponse:
    """The batch job of a task instance: its facts and, when it is finished, its first rows.

    :param map_index: of a mapped task. For any other, Airflow's UI leaves its placeholder ``{MAP_INDEX}`` here.
    """
    index = int(map_index) if re.fullmatch(r"\d{1,9}", map_index) else -1
    shown: dict[str, Any] = {"task": f"{dag_id} / {task_id}{f' [{index}]' if index >= 0 else ''} / {run_id}"}
    status = 200
    try:
        task_job = job_of(dag_id, run_id, task_id, index)
        hook = task_job.hook()
        description = hook.find(task_job.resource, task_job.arn)
        if description is None:
            raise NoJobError(f"The service has no {task_job.resource.label} {task_job.arn} (any more).")
        shown |= _facts(task_job, description)
        if description["status"] == ACTIVE:
            job = FinishedJob(hook, task_job.arn, task_job.resource, description)
            shown |= {"first": first_rows(job), "absent": job.absent}
    except NoJobError as error:
        status, shown["trouble"] = 404, str(error)
    except PersonalizeOutputError:
        # Its message tells a task's owner to clear the task, which readers of a page need not.
        gone = (
            "The job's input is not where it was. Its output is named after it, so which rows are its own is not known."
        )
        status, shown["trouble"] = 404, gone
    except _TROUBLE as error:
        log.warning("The job of %s cannot be shown", shown["task"], exc_info=True)
        status, shown["trouble"] = 502, f"{type(error).__name__}: {error}"
    return _page(status, **shown)


def _facts(task_job: TaskJob, description: dict[str, Any]) -> dict[str, Any]:
    """What the job's description says, for the template. Times are in UTC: a page without a script knows no other."""
    resource = task_job.resource
    facts = resource.facts(task_job.arn, description)
    status, created = facts["status"], description["creationDateTime"]
    is_over = status == ACTIVE or resource.has_failed(status)
    ended = description["lastUpdatedDateTime"] if is_over else datetime.now(tz=UTC)
    rows = {
        "Name": description.get("jobName"),
        "ARN": task_job.arn,
        "Solution version": description.get("solutionVersionArn"),
        "Filter": description.get("filterArn"),
        "Mode": description.get("batchInferenceJobMode"),
        "Input": facts["input_uri"],
        "Output": facts["output_uri"],
        "Results a row": description.get("numResults"),
        "Created": f"{created.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "Took" if is_over else "Running for": str(timedelta(seconds=round((ended - created).total_seconds()))),
    }
    return {
        "title": resource.label.capitalize(),
        "status": status,
        "mood": "good" if status == ACTIVE else "bad" if is_over else "busy",
        "reason": facts["failure_reason"],
        "advice": hint(facts["failure_reason"]),
        "facts": {name: value for name, value in rows.items() if value is not None},
    }


def _page(code: int, **shown: Any) -> HTMLResponse:
    nonce = secrets.token_urlsafe(16)
    policy = ("default-src 'none'", f"style-src 'nonce-{nonce}'", "frame-ancestors 'self'", *_NO_WAY_OUT)
    headers = {
        "Content-Security-Policy": "; ".join(policy),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return HTMLResponse(_TEMPLATE.render(code=code, nonce=nonce, **shown), code, headers)


@app.exception_handler(HTTPException)
def refused(request: Request, error: HTTPException) -> HTMLResponse:
    """No login, no permission, no such address."""
    return _page(error.status_code, trouble=str(error.detail))


@app.exception_handler(RequestValidationError)
def incomplete(request: Request, error: RequestValidationError) -> HTMLResponse:
    return _page(422, trouble="An address of this page names dag_id, run_id and task_id.")


@app.exception_handler(Exception)
def unexpected(request: Request, error: Exception) -> HTMLResponse:
    """What nobody thought of is in the API server's log, not on the page."""
    return _page(500, trouble="The job cannot be shown; the log of Airflow's API server says why.")
