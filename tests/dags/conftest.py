"""One Airflow for all of these tests: a database of its own, the DAGs, a local backend, and a small data set.

The data is made so that its answers are known: users and items come in two camps, and everyone keeps to their own.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
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
A_DATE = "2026-11-01"
"""Of no run. Without one, ``airflow tasks test`` deletes a run of the DAG that has no date."""


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
        return self.fresh(dag_id).test(**arguments)

    def fresh(self, dag_id: str) -> Any:
        """A DAG, read out of its file again: a run writes its form into the params of the objects that it runs."""
        return read(Path(self.dags[dag_id].fileloc))[dag_id]

    def tasks_test(
        self,
        dag_id: str,
        task_id: str,
        run: str = A_DATE,
        *,
        map_index: int = -1,
        form: Mapping[str, Any] | None = None,
    ) -> str | None:
        """``airflow tasks test``; how the attempt ended, None when it waits for a person. Its exit code would say 0
        whatever happened.

        It is given the DAG: it would read every file and write every DAG to the database again, most of a test's time.

        :param run: the id of a run, or a date, for a run that the command makes and deletes.
        """
        from airflow.cli import cli_parser

        self.attempts.states.pop(task_id, None)
        options = [f"--map-index={map_index}", f"--task-params={json.dumps(form or {})}"]
        parsed = cli_parser.get_parser().parse_args(["tasks", "test", dag_id, task_id, run, *options])
        parsed.func(parsed, dag=self.fresh(dag_id))
        return self.attempts.states.get(task_id)

    def finish(self, dag_id: str, run_id: str) -> Any:
        """Do the tasks of a run by ``airflow tasks test``, as the scheduler finds them ready; the run, once none is."""
        seen = None
        while (states := self.scheduled(dag_id, run_id)) != seen:
            for task_id in [task_id for task_id, state in states.items() if state == "scheduled"]:
                self.tasks_test(dag_id, task_id, run_id)
            seen = states
        return self.run(dag_id, run_id)

    def scheduled(self, dag_id: str, run_id: str) -> dict[str, str]:
        """The states of a run's tasks after a look of the scheduler, which schedules those whose turn it is."""
        from airflow.models.dagrun import DagRun
        from airflow.models.serialized_dag import SerializedDagModel
        from airflow.utils.session import create_session

        with create_session() as session:
            [run] = DagRun.find(dag_id=dag_id, run_id=run_id, session=session)
            run.dag = SerializedDagModel.get_dag(dag_id, session=session)
            if run.state == "queued":
                run.set_state("running")
            due, _ = run.update_state(session=session)
            run.schedule_tis(due, session=session)
        return self.states(run)

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


def read(path: Path) -> Mapping[str, Any]:
    """The DAGs of a file, or of all files in a folder. Their retries wait for nothing."""
    from airflow.dag_processing.dagbag import BundleDagBag

    bag = BundleDagBag(dag_folder=path, bundle_path=path, bundle_name="dags-folder")
    assert bag.import_errors == {}
    for dag in bag.dags.values():
        for task in dag.tasks:
            task.retry_delay = timedelta(0)
    return bag.dags


def start(root: Path, repository: Path) -> Suite:
    from airflow.listeners import hookimpl
    from airflow.sdk.listener import get_listener_manager
    from airflow.utils import db

    db.initdb()
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
    return Suite(dags=read(repository / "dags"), data=root / "data", output=root / "output", attempts=attempts)


@contextmanager
def logged_in() -> Iterator[Any]:
    """A client of Airflow's API."""
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    with TestClient(create_app(apps="core")) as client:
        token = client.get("/auth/token").json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


FORMS: dict[str, dict[str, Any]] = {
    "personalize_train": {"dataset_group": "by-form", "recipe": "aws-user-personalization"},
    "personalize_batch_inference": {"num_results": 3, "exclude_seen": False},
    "personalize_batch_segment": {"num_results": 3},
    "personalize_active_users": {"num_results": 3, "active_days": 40},
    "personalize_campaign": {"num_results": 20, "item_ids": ["i3", "i4", "i3"]},
}
"""What somebody types into the form of each DAG."""
ByForm = Callable[[str], Any]


def triggered(client: Any, dag_id: str, form: Mapping[str, Any]) -> Any:
    """The answer to what the UI sends once its form is filled in like this: all fields of it, and no date."""
    fields = client.get(f"/api/v2/dags/{dag_id}/details").json()["params"]
    conf = {name: field["value"] for name, field in fields.items()} | form
    return client.post(f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})


def finished(suite: Suite, client: Any, dag_id: str, form: Mapping[str, Any], answer: str = "Approve") -> Any:
    """The finished run of a DAG that was triggered with this form; what the campaign asks is answered so."""
    response = triggered(client, dag_id, form)
    assert response.status_code == 200, response.text
    run_id = response.json()["dag_run_id"]
    run = suite.finish(dag_id, run_id)
    if suite.states(run).get("approve") == "awaiting_input":
        question = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"
        answered = client.patch(question, json={"chosen_options": [answer], "params_input": {}})
        assert answered.status_code == 200, answered.text
        run = suite.finish(dag_id, run_id)
    return run


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


@pytest.fixture(scope="package")
def by_form(suite: Suite, trained: Any, client: Any) -> ByForm:
    """The finished run of a DAG that was triggered with its form of ``FORMS``, one for all tests."""
    return cache(lambda dag_id: finished(suite, client, dag_id, FORMS[dag_id]))
