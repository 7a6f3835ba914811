"""The page of a task's batch job, in Airflow's own API server over its own database and a local backend."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from botocore.exceptions import ClientError

from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.plugins.first_rows import MOST_RESULTS, MOST_ROWS
from tests.dags.conftest import Suite

ADDRESS = "/personalize/preview"
SECRET = "only-the-connection-knows-this"


def place(run: Any, task: str, **more: Any) -> dict[str, Any]:
    """What Airflow's UI puts into the address; it leaves its placeholder where a task is not mapped."""
    return {"dag_id": run.dag_id, "run_id": run.run_id, "task_id": task, "map_index": "{MAP_INDEX}", **more}


def text(answer: Any) -> str:
    """What a reader of the page sees, in one line."""
    body = re.sub(r"<style.*?</style>", "", answer.text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def shown_rows(answer: Any) -> dict[str, str]:
    """The rows of the table by the id that was asked for."""
    rows = re.findall(r"<tr title.*?</tr>", answer.text, flags=re.DOTALL)
    cells = [re.findall(r"<td.*?</td>", row, flags=re.DOTALL) for row in rows]
    return {re.findall(r'class="id">(.*?)<', question)[0]: results for question, results in cells}


def ids(results: str) -> tuple[str, ...]:
    return tuple(re.findall(r'class="id">(.*?)<', results))


@pytest.fixture
def page(client: Any, recommended: Any) -> Callable[..., Any]:
    """The page of the task that recommended."""
    return lambda **more: client.get(ADDRESS, params=place(recommended, "recommend", **more))


@pytest.fixture
def rewrite(suite: Suite, recommended: Any) -> Iterator[Callable[[bytes], Path]]:
    """Puts other bytes in the place of the job's output for the length of a test."""
    path = suite.output_file(recommended)
    whole = path.read_bytes()

    def write(content: bytes) -> Path:
        path.write_bytes(content)
        return path

    yield write
    path.write_bytes(whole)


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets the service answer something else than it does."""
    find = PersonalizeHook.find

    def change(**members: Any) -> None:
        monkeypatch.setattr(PersonalizeHook, "find", lambda *args: {**(find(*args) or {}), **members})

    return change


class TestFinishedJobs:
    def test_recommendations_are_those_of_the_output(
        self, suite: Suite, recommended: Any, page: Callable[..., Any]
    ) -> None:
        answer = page()
        assert answer.status_code == 200
        rows, answers = shown_rows(answer), suite.answers(recommended)
        assert len(rows) == MOST_ROWS
        assert f"{MOST_ROWS} are shown" in text(answer)
        for user, results in rows.items():
            assert ids(results) == answers[user].ids[:MOST_RESULTS]
            assert f"{(answers[user].scores or ())[0]:.7f}" in results

    def test_its_facts_are_there(self, suite: Suite, recommended: Any, page: Callable[..., Any]) -> None:
        seen = text(page())
        arn = suite.result(recommended, "recommend")
        assert seen.startswith("Batch inference job Batch inference job ACTIVE personalize_batch_inference / recommend")
        for fact in (
            f"ARN {arn}",
            "Results a row 25",
            f"Input file://{suite.data}/users.json",
            "Created 20",
            "Took 0:",
        ):
            assert fact in seen

    def test_segments_are_those_of_the_output(self, suite: Suite, segmented: Any, client: Any) -> None:
        answer = client.get(ADDRESS, params=place(segmented, "find_segments"))
        assert text(answer).startswith("Batch segment job")
        answers = suite.answers(segmented)
        assert {item: ids(results) for item, results in shown_rows(answer).items()} == {
            item: row.ids[:MOST_RESULTS] for item, row in answers.items()
        }
        assert "and 5 more" in text(answer)

    def test_a_task_that_read_a_job_shows_it_too(self, suite: Suite, recommended: Any, client: Any) -> None:
        answer = client.get(ADDRESS, params=place(recommended, "check_output"))
        assert suite.result(recommended, "recommend") in text(answer)

    @pytest.mark.parametrize("sign", ["+", "%2B", " "])
    def test_a_run_id_with_a_plus_is_found_however_it_arrives(self, recommended: Any, client: Any, sign: str) -> None:
        assert "+" in recommended.run_id
        run_id = recommended.run_id.replace("+", sign)
        answer = client.get(f"{ADDRESS}?dag_id=personalize_batch_inference&run_id={run_id}&task_id=recommend")
        assert answer.status_code == 200

    def test_each_mapped_instance_has_its_own_job(
        self, suite: Suite, recommended: Any, segmented: Any, client: Any, tmp_path: Path
    ) -> None:
        from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db

        jobs = [suite.result(suite.test(recommended.dag_id), "recommend"), suite.result(recommended, "recommend")]
        (tmp_path / "waits_for_two.py").write_text(f"""
from airflow.sdk import DAG
from airflow_provider_personalize.sensors.personalize import PersonalizeBatchInferenceJobSensor

with DAG("waits_for_two", schedule=None):
    wait = PersonalizeBatchInferenceJobSensor.partial(task_id="wait", aws_conn_id="personalize_test")
    wait.expand(job_arn={jobs!r})
""")
        bag = BundleDagBag(dag_folder=tmp_path, bundle_path=tmp_path, bundle_name="dags-folder")
        sync_bag_to_db(bag, "dags-folder", None)
        run = bag.dags["waits_for_two"].test()
        assert run.state == "success"
        for index, job in enumerate(jobs):
            assert f"ARN {job}" in text(client.get(ADDRESS, params=place(run, "wait", map_index=index)))


class TestRows:
    def test_ids_that_are_markup_are_text(self, page: Callable[..., Any], rewrite: Callable[[bytes], Path]) -> None:
        hostile = ["<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "{{ 7*7 }}", "🎬 é"]
        row = {"input": {hostile[0]: hostile[1]}, "output": {"recommendedItems": hostile}, "error": None}
        failed = {"input": {"userId": "u"}, "output": None, "error": f"no {hostile[0]}"}
        rewrite(orjson.dumps(row) + b"\n" + orjson.dumps(failed))
        answer = page()
        assert "<script" not in answer.text
        assert "<img" not in answer.text
        seen = html.unescape(answer.text)
        assert all(seen.count(each) >= 1 for each in hostile)

    def test_rows_that_failed_and_lines_that_are_none_say_why(
        self, page: Callable[..., Any], rewrite: Callable[[bytes], Path]
    ) -> None:
        rewrite(b'{"input":{"userId":"u1"},"output":null,"error":"no such user"}\n\n{"input":\n')
        seen = text(page())
        assert "userId u1 no such user (users.json.out, line 1)" in seen
        assert "This line is no output row: not JSON" in seen
        assert "line 3" in seen

    def test_themes_stand_over_their_items(self, page: Callable[..., Any], rewrite: Callable[[bytes], Path]) -> None:
        output = {"recommendedItems": ["i1"], "theme": "Rainy days", "itemsThemeRelevanceScores": [0.25]}
        rewrite(orjson.dumps({"input": {"itemId": "i0"}, "output": output, "error": None}))
        assert "itemId i0 Rainy days 1 i1 0.2500000" in text(page())

    def test_a_row_beyond_the_bound_is_not_read(
        self, page: Callable[..., Any], rewrite: Callable[[bytes], Path]
    ) -> None:
        path = rewrite(b'{"input":{"itemId":"i0"},"output":{"usersList":["u0"]},"error":null}\n')
        os.truncate(path, 1 << 40)  # a sparse file: the memory of no machine would hold it
        seen = text(page())
        assert "itemId i0 1 u0" in seen
        assert "1 MiB is read for this page, and line 2 of users.json.out is too long to end within it" in seen

    def test_output_that_is_not_there_is_named(
        self, page: Callable[..., Any], rewrite: Callable[[bytes], Path]
    ) -> None:
        path = rewrite(b"")
        assert "The output has no rows" in text(page())
        path.unlink()
        assert f"Not there: file://{path}" in text(page())

    def test_output_whose_input_was_archived_is_not_guessed(self, suite: Suite, page: Callable[..., Any]) -> None:
        users = suite.data / "users.json"
        archived = users.rename(suite.data / "archived.json")
        try:
            answer = page()
        finally:
            archived.rename(users)
        assert answer.status_code == 404
        assert "ACTIVE" in text(answer)
        assert "The job's input is not where it was" in text(answer)
        assert not shown_rows(answer)


class TestUnfinishedJobs:
    @pytest.fixture
    def failed(self, suite: Suite, trained: Any, client: Any) -> Iterator[Any]:
        """A run whose job failed, since its input does not exist."""
        runs = "/api/v2/dags/personalize_batch_inference/dagRuns"
        form = {"input_uri": f"file://{suite.data}/nothing.json"}
        run_id = client.post(runs, json={"logical_date": None, "conf": form}).json()["dag_run_id"]
        assert suite.tasks_test("personalize_batch_inference", "recommend", run_id) == "failed"
        yield suite.run("personalize_batch_inference", run_id)
        assert client.delete(f"{runs}/{run_id}").status_code == 204

    def test_a_failed_job_says_its_reason(self, suite: Suite, failed: Any, client: Any) -> None:
        # No XCom tells of it: the task's own record of its job does.
        assert suite.result(failed, "recommend") is None
        answer = client.get(ADDRESS, params=place(failed, "recommend"))
        assert answer.status_code == 200
        seen = text(answer)
        assert "CREATE FAILED" in seen
        assert "nothing.json" in seen.split("Name")[0]
        assert "First rows" not in seen

    def test_a_running_job_says_since_when(self, page: Callable[..., Any], described: Callable[..., None]) -> None:
        began = datetime.now(tz=UTC) - timedelta(minutes=5)
        described(status="CREATE IN PROGRESS", creationDateTime=began)
        seen = text(page())
        assert "CREATE IN PROGRESS" in seen
        assert "Running for 0:05:0" in seen
        assert "First rows" not in seen

    def test_a_task_without_a_job_is_told_so(self, recommended: Any, client: Any) -> None:
        answer = client.get(ADDRESS, params=place(recommended, "check_input"))
        assert answer.status_code == 404
        assert "has no batch inference job and no batch segment job" in text(answer)

    @pytest.mark.parametrize("other", [{"run_id": "never"}, {"task_id": "never"}, {"map_index": 7}, {"dag_id": "~"}])
    def test_a_task_instance_that_is_not_there_is_told_so(
        self, page: Callable[..., Any], other: dict[str, Any]
    ) -> None:
        answer = page(**other)
        assert answer.status_code == 404
        assert "no such task instance" in text(answer)

    def test_a_job_that_the_service_forgot_is_told_so(
        self, page: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(PersonalizeHook, "find", lambda *_: None)
        assert page().status_code == 404
        assert "The service has no batch inference job arn:" in text(page())

    def test_a_run_whose_arguments_airflow_has_dropped_is_told_so(
        self, suite: Suite, recommended: Any, page: Callable[..., Any]
    ) -> None:
        from airflow.models.renderedtifields import RenderedTaskInstanceFields
        from airflow.utils.session import create_session

        key = (recommended.dag_id, "recommend", recommended.run_id, -1)
        with create_session() as session:
            kept = session.get(RenderedTaskInstanceFields, key)
            fields = dict(kept.rendered_fields)
            session.delete(kept)
        try:
            answer = page()
        finally:
            RenderedTaskInstanceFields(recommended.get_task_instance("recommend"), False, fields).write()
        assert answer.status_code == 404
        assert "num_dag_runs_to_retain_rendered_fields" in text(answer)
        assert page().status_code == 200


class TestTrouble:
    """Each is said on the page, in one sentence, with a status that a monitor understands."""

    @staticmethod
    def said(answer: Any) -> str:
        assert answer.status_code == 502
        assert "Traceback" not in answer.text
        assert SECRET not in answer.text
        return text(answer)

    def test_a_connection_that_does_not_exist(self, page: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AIRFLOW_CONN_PERSONALIZE_TEST")
        assert "connection 'personalize_test' does not exist" in self.said(page())

    def test_a_local_backend_that_is_not_installed(
        self, page: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "airflow_provider_personalize.local.transports.in_process", None)
        assert "pip install 'airflow-provider-personalize[local]'" in self.said(page())

    def test_a_service_that_does_not_answer(self, page: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
        extra = {"region_name": "us-east-1", "service_config": {"personalize": {"endpoint_url": "http://127.0.0.1:9"}}}
        connection = {"conn_type": "aws", "login": "AKIA", "password": SECRET, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_PERSONALIZE_TEST", json.dumps(connection))
        assert "http://127.0.0.1:9" in self.said(page())

    def test_a_service_that_refuses(self, page: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
        answer: Any = {"Error": {"Code": "AccessDeniedException", "Message": "Airflow may not look."}}

        def refuse(*_: Any) -> None:
            raise ClientError(answer, "DescribeBatchInferenceJob")

        monkeypatch.setattr(PersonalizeHook, "find", refuse)
        assert "AccessDeniedException" in self.said(page())
        assert "Airflow may not look." in self.said(page())

    def test_a_storage_that_cannot_be_read_leaves_the_facts(
        self, page: Callable[..., Any], described: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        described(jobOutput={"s3DataDestination": {"path": "s3://bucket/output/"}})
        monkeypatch.setitem(sys.modules, "s3fs", None)
        seen = self.said(page())
        assert "pip install apache-airflow-providers-amazon[s3fs]" in seen
        assert "Output s3://bucket/output/" in seen

    def test_what_nobody_thought_of_is_in_the_log_and_not_on_the_page(
        self, recommended: Any, client: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from fastapi.testclient import TestClient

        monkeypatch.setattr(PersonalizeHook, "find", lambda *_: 1 / 0)
        calm = TestClient(client.app, raise_server_exceptions=False)
        answer = calm.get(ADDRESS, params=place(recommended, "recommend"))
        assert answer.status_code == 500
        assert "the log of Airflow's API server says why" in text(answer)
        assert "ZeroDivision" not in answer.text


class TestWhoMayLook:
    @pytest.fixture
    def app(self, suite: Suite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
        """Airflow with a login: ``viewer`` may read every Dag, ``nobody`` none."""
        from airflow.api_fastapi.app import create_app

        monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "False")
        monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "viewer:viewer,nobody:")
        monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(tmp_path / "passwords.json"))
        (tmp_path / "passwords.json").write_text(json.dumps({"viewer": "v", "nobody": "n"}))
        return create_app(apps="core")

    @pytest.fixture
    def strangers(self, app: Any) -> Iterator[Any]:
        from fastapi.testclient import TestClient

        with TestClient(app) as client:
            yield client

    @staticmethod
    def token(client: Any, user: str) -> str:
        answer = client.post("/auth/token", json={"username": user, "password": user[0]})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["access_token"])

    def test_nobody_without_a_login(self, recommended: Any, strangers: Any) -> None:
        answer = strangers.get(ADDRESS, params=place(recommended, "recommend"))
        assert answer.status_code == 401
        assert "arn:" not in answer.text

    @pytest.mark.parametrize("way", ["header", "cookie"])
    def test_whoever_may_read_the_dag(self, recommended: Any, strangers: Any, way: str) -> None:
        token = self.token(strangers, "viewer")
        if way == "header":
            strangers.headers["Authorization"] = f"Bearer {token}"
        else:  # as the browser does, in the UI's frame
            strangers.cookies.set("_token", token)
        assert strangers.get(ADDRESS, params=place(recommended, "recommend")).status_code == 200

    def test_nobody_who_may_not(self, recommended: Any, strangers: Any) -> None:
        strangers.headers["Authorization"] = f"Bearer {self.token(strangers, 'nobody')}"
        answer = strangers.get(ADDRESS, params=place(recommended, "recommend"))
        assert answer.status_code == 403
        assert "arn:" not in answer.text

    def test_it_is_asked_about_the_dag_that_is_shown_and_about_its_xcoms(
        self, recommended: Any, strangers: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

        asked = []

        def decide(self: Any, *, method: str, user: Any, access_entity: Any, details: Any) -> bool:
            asked.append((method, access_entity.name, details.id))
            return bool(details.id == "mine")

        monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", decide)
        strangers.headers["Authorization"] = f"Bearer {self.token(strangers, 'viewer')}"
        theirs = place(recommended, "recommend")
        assert strangers.get(ADDRESS, params=theirs).status_code == 403
        assert asked == [("GET", "XCOM", recommended.dag_id)]
        assert strangers.get(ADDRESS, params={**theirs, "dag_id": "mine"}).status_code == 404
        # Where a name is given twice, the Dag that is asked about is the one that is shown.
        for pair in (("mine", recommended.dag_id), (recommended.dag_id, "mine")):
            twice = strangers.get(ADDRESS, params={**theirs, "dag_id": list(pair)})
            assert twice.status_code == {recommended.dag_id: 403, "mine": 404}[pair[-1]]

    @pytest.mark.parametrize("path", ["/personalize/", "/personalize/docs", "/personalize/openapi.json"])
    def test_there_is_no_other_address(self, strangers: Any, path: str) -> None:
        assert strangers.get(path).status_code == 404


class TestInTheUi:
    def test_airflow_lists_it_for_task_instances(self, client: Any) -> None:
        listed = client.get("/api/v2/plugins").json()["plugins"]
        [plugin] = [plugin for plugin in listed if plugin["name"] == "personalize"]
        [view] = plugin["external_views"]
        assert (view["name"], view["destination"]) == ("Recommendations", "task_instance")
        assert view["href"] == (
            "/personalize/preview?dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}"
        )

    def test_a_browser_shows_it_in_airflows_frame_alone_and_runs_nothing(self, page: Callable[..., Any]) -> None:
        answer = page()
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["frame-ancestors"] == "'self'"
        [nonce] = re.findall(r'<style nonce="(.*?)"', answer.text)
        assert policy["style-src"] == f"'nonce-{nonce}'"
        assert nonce not in page().text
        assert " style=" not in answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-type"] == "text/html; charset=utf-8"

    def test_an_address_without_a_task_is_told_so(self, client: Any) -> None:
        answer = client.get(ADDRESS, params={"dag_id": "personalize_batch_inference"})
        assert answer.status_code == 422
        assert "names dag_id, run_id and task_id" in text(answer)

    def test_it_is_found_where_airflow_is_served_below_a_path(self, recommended: Any) -> None:
        code = """
import json, sys
from airflow.api_fastapi.app import create_app
from fastapi.testclient import TestClient

with TestClient(create_app(apps="core"), root_path="") as client:
    plugins = client.get("/airflow/api/v2/plugins").json()["plugins"]
    [view] = next(plugin["external_views"] for plugin in plugins if plugin["name"] == "personalize")
    href = view["href"].format(**json.loads(sys.argv[1]))
    print(json.dumps([view["href"], client.get(href).status_code]))
"""
        filled = {"DAG_ID": recommended.dag_id, "RUN_ID": recommended.run_id.replace("+", "%2B")}
        done = subprocess.run(
            [sys.executable, "-c", code, json.dumps({**filled, "TASK_ID": "recommend", "MAP_INDEX": "{MAP_INDEX}"})],
            env={**os.environ, "AIRFLOW__API__BASE_URL": "https://example.org/airflow/"},
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr
        href, status = json.loads(done.stdout.splitlines()[-1])
        assert href.startswith("/airflow/personalize/preview?dag_id={DAG_ID}")
        assert status == 200

    def test_loading_the_plugin_costs_schedulers_and_workers_nothing(self) -> None:
        code = (
            "import sys, airflow.plugins_manager; from airflow.providers.common.compat.sdk import AirflowPlugin;"
            "before = set(sys.modules); import airflow_provider_personalize.plugins.personalize;"
            "print(*(set(sys.modules) - before))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        added = {name.split(".")[0] for name in done.stdout.split()}
        assert "airflow_provider_personalize" in added
        assert added.isdisjoint({"fastapi", "boto3", "botocore", "jinja2", "orjson", "numpy"})
