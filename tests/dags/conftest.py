"""One Airflow for all of these tests: a database of its own, the DAGs, a local backend, and a small data set.

The data is made so that its answers are known: users and items come in two camps, and everyone keeps to their own.
"""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from airflow_provider_personalize.batch.output import OutputRow, read_output
from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.resources import PersonalizeResource

USERS = 100
ITEMS = 40
CAMPS = ("Drama", "Comedy")
EVENTS_A_USER = 12  # the service trains on no fewer than 1000 interactions
FORMER_USER = USERS
"""Has events like the others, but a month older."""
MONTH = 30 * 24 * 60 * 60


def camp(number: int) -> str:
    return CAMPS[number % len(CAMPS)]


def seen(user: int) -> list[int]:
    """The items a user has: a window over the items of the user's camp, the first ones more often."""
    own = [item for item in range(ITEMS) if camp(item) == camp(user)]
    return [own[(user // 2 * 3 + step) % len(own)] for step in range(EVENTS_A_USER)]


def schema(name: str, *fields: Mapping[str, Any]) -> str:
    namespace = "com.amazonaws.personalize.schema"
    record = {"type": "record", "name": name, "namespace": namespace, "fields": fields, "version": "1.0"}
    return json.dumps(record)


def write_csv(path: Path, heading: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows([heading, *rows])


def write_data(folder: Path) -> None:
    folder.mkdir()
    events = [
        (f"u{user}", f"i{item}", 1_700_000_000 + 60 * step + user - (user == FORMER_USER) * MONTH, "watch")
        for user in range(USERS + 1)
        for step, item in enumerate(seen(user))
    ]
    write_csv(folder / "interactions.csv", ("USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE"), events)
    (folder / "interactions.schema.json").write_text(
        schema(
            "Interactions",
            {"name": "USER_ID", "type": "string"},
            {"name": "ITEM_ID", "type": "string"},
            {"name": "TIMESTAMP", "type": "long"},
            {"name": "EVENT_TYPE", "type": "string"},
        )
    )
    write_csv(folder / "items.csv", ("ITEM_ID", "GENRES"), [(f"i{item}", camp(item)) for item in range(ITEMS)])
    (folder / "items.schema.json").write_text(
        schema(
            "Items",
            {"name": "ITEM_ID", "type": "string"},
            {"name": "GENRES", "type": ["null", "string"], "categorical": True},
        )
    )
    (folder / "users.json").write_bytes(b"".join(orjson.dumps({"userId": f"u{n}"}) + b"\n" for n in range(USERS)))
    (folder / "items.json").write_bytes(b"".join(orjson.dumps({"itemId": f"i{n}"}) + b"\n" for n in range(5)))


@dataclass
class Attempts:
    """How task attempts ended, as a listener heard it: a run that ``tasks test`` made up is deleted with its states."""

    states: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


@dataclass
class Suite:
    """The DAGs in an initialised Airflow."""

    dags: Mapping[str, Any]
    data: Path
    output: Path
    attempts: Attempts

    def test(self, dag_id: str, **arguments: Any) -> Any:
        """A whole run in this process; the DagRun."""
        return self.dags[dag_id].test(**arguments)

    def tasks_test(self, dag_id: str, task_id: str, *arguments: str) -> str:
        """``airflow tasks test``; how the attempt ended. Its exit code would say 0 whatever happened."""
        from airflow.cli import cli_parser

        self.attempts.states.pop(task_id, None)
        parsed = cli_parser.get_parser().parse_args(["tasks", "test", dag_id, task_id, *arguments])
        parsed.func(parsed)
        return self.attempts.states[task_id]

    def run(self, dag_id: str, run_id: str) -> Any:
        """A DagRun out of the database."""
        from airflow.models.dagrun import DagRun
        from airflow.utils.session import create_session

        with create_session() as session:
            [run] = DagRun.find(dag_id=dag_id, run_id=run_id, session=session)
            session.expunge_all()
            return run

    def states(self, run: Any) -> dict[str, str]:
        """The state of each task of a run, as the database has it."""
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session() as session:
            query = select(TaskInstance.task_id, TaskInstance.state).where(
                TaskInstance.dag_id == run.dag_id, TaskInstance.run_id == run.run_id
            )
            return {task_id: str(state) for task_id, state in session.execute(query)}

    def result(self, run: Any, task_id: str) -> Any:
        """What a task of a run returned."""
        return run.get_task_instance(task_id).xcom_pull(task_ids=task_id)

    def jobs(self, resource: PersonalizeResource, **arguments: str) -> list[dict[str, Any]]:
        """What the service has of this kind."""
        return list(PersonalizeHook(aws_conn_id="personalize_test").summaries(resource, **arguments))

    def output_file(self, run: Any) -> Path:
        """Where the batch job of a run left its rows."""
        [uri] = self.result(run, "check_output")["output_files"]
        return Path(uri.removeprefix("file://"))

    def answers(self, run: Any) -> dict[str, OutputRow]:
        """The rows that the batch job of a run left, by the id that was asked for."""
        with self.output_file(run).open("rb") as lines:
            return {next(iter(row.input.values())): row for row in read_output(lines)}


@pytest.fixture(scope="package")
def suite(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Suite]:
    root = tmp_path_factory.mktemp("suite")
    backend = root / "backend"
    write_data(root / "data")
    extra = {
        "region_name": "us-east-1",
        "service_config": {"personalize": {"endpoint_url": f"local://{backend}", "waiter_delay": 0.2}},
    }
    bundle = {
        "name": "dags-folder",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(repository / "dags")},
    }
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__API_AUTH__JWT_SECRET": "only-for-the-tests-" * 4,
            "AIRFLOW_CONN_PERSONALIZE_TEST": json.dumps({"conn_type": "aws", "extra": extra}),
            "PERSONALIZE_CONN_ID": "personalize_test",
            "PERSONALIZE_DATASET_GROUP": "camps",
            "PERSONALIZE_DATA_URI": f"file://{root / 'data'}",
            "PERSONALIZE_OUTPUT_URI": f"file://{root / 'output'}",
        }.items():
            environment.setenv(name, value)
        yield start(root, repository)


def start(root: Path, repository: Path) -> Suite:
    from airflow.dag_processing.dagbag import BundleDagBag
    from airflow.listeners import hookimpl
    from airflow.sdk.listener import get_listener_manager
    from airflow.utils import db

    db.initdb()
    folder = repository / "dags"
    bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder")
    assert bag.import_errors == {}
    for dag in bag.dags.values():
        for task in dag.tasks:
            task.retry_delay = timedelta(0)
    attempts = Attempts()

    class Listener:
        @hookimpl
        def on_task_instance_success(self, previous_state: Any, task_instance: Any) -> None:
            attempts.states[task_instance.task_id] = "success"

        @hookimpl
        def on_task_instance_skipped(self, previous_state: Any, task_instance: Any) -> None:
            attempts.states[task_instance.task_id] = "skipped"

        @hookimpl
        def on_task_instance_failed(self, previous_state: Any, task_instance: Any, error: Any) -> None:
            attempts.states[task_instance.task_id] = "failed"
            attempts.errors[task_instance.task_id] = str(error)

    get_listener_manager().add_listener(Listener())
    return Suite(dags=bag.dags, data=root / "data", output=root / "output", attempts=attempts)


@contextmanager
def logged_in() -> Iterator[Any]:
    """A client of Airflow's API."""
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    with TestClient(create_app(apps="core")) as client:
        token = client.get("/auth/token").json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


@contextmanager
def answering(client: Any, option: str) -> Iterator[None]:
    """Meanwhile, somebody answers the question of the campaign's newest run once it is asked."""
    runs, given_up = "/api/v2/dags/personalize_campaign/dagRuns", threading.Event()

    def answer() -> None:
        while not given_up.wait(0.2):
            # The run under test writes to the same SQLite file: an answer that meets its lock is given again.
            with suppress(Exception):
                if answered():
                    return

    def answered() -> bool:
        found = client.get(runs, params={"order_by": "-start_date", "limit": 1}).json().get("dag_runs")
        if not found:
            return False
        task = f"{runs}/{found[0]['dag_run_id']}/taskInstances/approve"
        # An answer between the question and the task's going to wait for it would be waited for ever.
        if client.get(task).json().get("state") != "awaiting_input":
            return False
        question = f"{task}/-1/hitlDetails"
        return client.patch(question, json={"chosen_options": [option], "params_input": {}}).status_code == 200

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield
    finally:
        given_up.set()
        thread.join(10)


@pytest.fixture(scope="package")
def client(suite: Suite) -> Iterator[Any]:
    with logged_in() as client:
        yield client


@pytest.fixture(scope="package")
def trained(suite: Suite) -> Any:
    """A finished run of personalize_train with its form as it is."""
    return suite.test("personalize_train")


@pytest.fixture(scope="package")
def recommended(suite: Suite, trained: Any) -> Any:
    """A finished run of personalize_batch_inference with its form as it is."""
    return suite.test("personalize_batch_inference")


@pytest.fixture(scope="package")
def segmented(suite: Suite, trained: Any) -> Any:
    """A finished run of personalize_batch_segment with its form as it is."""
    return suite.test("personalize_batch_segment")
