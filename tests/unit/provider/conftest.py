from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.loaders import Loader

from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.operators import lineage
from tests.faults.clock import Clock

from .places import place, s3_url  # noqa: F401
from .service import Service

LOCAL = "local:///nowhere"


class Store:
    """A task state store that works."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        # The real one keeps JSON.
        self.values[key] = json.loads(json.dumps(value))


class Log:
    """Keeps what is said, at every level: Airflow's own loggers leave out what is below theirs."""

    def __init__(self, said: list[str]) -> None:
        self.said = said

    def info(self, text: str, *values: Any, **_: Any) -> None:
        self.said.append(text % values)

    debug = warning = info


class Collector:
    """Keeps which files Airflow's lineage collector was told of."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def add_input_asset(self, context: Any, uri: str) -> None:
        self.seen.append(("input", uri))

    def add_output_asset(self, context: Any, uri: str) -> None:
        self.seen.append(("output", uri))


def connection(**extra: Any) -> str:
    return json.dumps({"conn_type": "aws", "extra": extra})


@pytest.fixture(autouse=True)
def connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """``aws_default`` leads to the fake service, ``aws`` to AWS with keys that are none."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_AWS_DEFAULT",
        connection(service_config={"personalize": {"endpoint_url": LOCAL, "waiter_delay": 30}}),
    )
    monkeypatch.setenv(
        "AIRFLOW_CONN_AWS", connection(aws_access_key_id="none", aws_secret_access_key="none", region_name="us-east-1")
    )


@pytest.fixture(scope="package", autouse=True)
def service_models() -> Iterator[None]:
    """Each hook has a session of its own, and reads its service's model again: most of a test's time."""
    begin, read = Loader.__init__, {}

    def begin_with_what_was_read(self: Loader, *arguments: object, **named: object) -> None:
        begin(self, *arguments, **named)
        self._cache = read

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loader, "__init__", begin_with_what_was_read)
        yield


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """No test waits, and none depends on how fast the machine is today."""
    return Clock(monkeypatch)


@pytest.fixture
def transports(monkeypatch: pytest.MonkeyPatch) -> Service:
    """A service that the hook reaches by importing its transports, sessions of its own and all."""
    service = Service()
    for name, module in service.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return service


@pytest.fixture(scope="session")
def sessions() -> tuple[dict[bool, Any], list[Service]]:
    """Two local sessions for the whole run, since building one takes a while, and a place for who answers them."""
    answering = [Service()]

    class Router(Service):
        def answer(self, request: Any) -> tuple[int, dict[str, Any]]:
            return answering[0].answer(request)

    found: dict[bool, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        for name, module in Router().modules().items():
            patch.setitem(sys.modules, name, module)
        patch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(service_config={"personalize": {"endpoint_url": LOCAL}}))
        for deferrable in (False, True):
            found[deferrable] = PersonalizeHook()._local_session("us-east-1", deferrable=deferrable)
    return found, answering


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, sessions: tuple[dict[bool, Any], list[Service]]) -> Service:
    found, answering = sessions
    answering[0] = Service()
    monkeypatch.setattr(PersonalizeHook, "_local_session", lambda self, region, *, deferrable: found[deferrable])
    return answering[0]


@pytest.fixture
def context() -> Callable[..., dict[str, Any]]:
    """Contexts of attempts of one task instance; they share a task state store unless told otherwise."""
    store = Store()

    def build(**given: Any) -> dict[str, Any]:
        xcoms: dict[str, Any] = {}
        fields = {
            "dag_id": "nightly",
            "task_id": "infer",
            "run_id": "manual__1",
            "map_index": -1,
            "max_tries": 0,
            "try_number": 1,
        }
        instance = SimpleNamespace(
            **{**fields, **{name: given[name] for name in fields if name in given}},
            xcom_push=lambda key, value: xcoms.update({key: value}),
            xcom_pull=lambda task_ids: None,  # no other task has run
            xcoms=xcoms,
            stats_tags={},
        )
        run = SimpleNamespace(clear_number=given.get("clear_number", 0))
        return {"ti": instance, "dag_run": run, "task_state_store": given.get("store", store)}

    return build


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Collector:
    found = Collector()
    monkeypatch.setattr(lineage, "get_hook_lineage_collector", lambda: found)
    return found


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every attempt to connect fails and is written down."""
    import socket

    attempts: list[Any] = []

    def refuse(self: Any, address: Any) -> None:
        attempts.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return attempts
