"""What Airflow loads of the page: in the API server, but in schedulers and workers too, so nothing heavy."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import AirflowPlugin, conf

URL_PREFIX = "/personalize"


def base_path() -> str:
    """The path that Airflow is served below, as ``/airflow``; empty at the root of its host."""
    return urlsplit(str(conf.get("api", "base_url", fallback=""))).path.rstrip("/")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The page's application, imported with the first request: in a thread, since that takes a second."""
    page = await asyncio.to_thread(importlib.import_module, "airflow_provider_personalize.plugins.page")
    await page.app(scope, receive, send)


_APPS: list[Any] = [{"app": app, "url_prefix": URL_PREFIX, "name": "Amazon Personalize"}]
_VIEWS: list[Any] = [
    {
        "name": "Recommendations",
        # Airflow's UI fills the placeholders in, percent-encoded, and leaves the last one where a task is not mapped.
        "href": f"{base_path()}{URL_PREFIX}/preview"
        "?dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}",
        "destination": "task_instance",
        "url_route": "personalize-recommendations",
    }
]


class PersonalizePlugin(AirflowPlugin):
    """A tab *Recommendations* beside each task instance's logs; see docs/page.md."""

    name = "personalize"
    fastapi_apps = _APPS
    external_views = _VIEWS
