from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from tests.faults.clock import Clock
from tests.faults.served import CONNECTION, Served, serving
from tests.faults.world import World
from tests.unit.provider.conftest import (  # noqa: F401
    LOCAL,
    connection,
    connections,
    context,
    service,
    service_models,
    sessions,
)
from tests.unit.provider.service import Service


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture(scope="package")
def one_served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("served")
    with serving(root) as served:
        yield served


@pytest.fixture
def served(one_served: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """The served backend, reached over its line by the connection ``served``."""
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    place = {"endpoint_url": one_served.line.url, "waiter_delay": 60}
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONNECTION.upper()}", connection(**keys, service_config={"personalize": place}))
    one_served.begin()
    yield one_served
    one_served.finish()


@pytest.fixture(scope="module")
def world(sessions: tuple[dict[bool, Any], list[Service]]) -> Iterator[World]:  # noqa: F811
    found, answering = sessions
    with pytest.MonkeyPatch.context() as patch:
        extra = {"endpoint_url": LOCAL, "waiter_delay": 60}
        patch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(service_config={"personalize": extra}))
        patch.setattr(PersonalizeHook, "_local_session", lambda self, region, *, deferrable: found[deferrable])
        Clock(patch)
        yield World(context.__wrapped__(), answering)
