"""The DAGs that end with a table: recommendations for active users, and a campaign that a person approves."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.resources import BATCH_INFERENCE_JOB, BATCH_SEGMENT_JOB, SOLUTION_VERSION
from tests.dags.conftest import FORMER_USER, FORMS, USERS, ByForm, Suite, camp, finished, seen


def parquet(uri: str) -> list[dict[str, Any]]:
    return list(pyarrow.parquet.read_table(uri.removeprefix("file://")).to_pylist())


@pytest.fixture(scope="module")
def nightly(suite: Suite, trained: Any) -> Any:
    """A run of personalize_active_users with its form as it is."""
    return suite.test("personalize_active_users")


@pytest.fixture(scope="module")
def approved(by_form: ByForm) -> Any:
    return by_form("personalize_campaign")


@pytest.fixture(scope="module")
def rejected(suite: Suite, trained: Any, client: Any) -> Any:
    return finished(suite, client, "personalize_campaign", FORMS["personalize_campaign"], "Reject")


class TestActiveUsers:
    def test_every_task_ends_well(self, suite: Suite, nightly: Any) -> None:
        assert set(suite.states(nightly).values()) == {"success"}, suite.attempts.errors

    def test_only_users_of_the_last_days_are_asked_about(self, suite: Suite, nightly: Any) -> None:
        assert set(suite.answers(nightly)) == {f"u{user}" for user in range(USERS)}

    def test_more_days_ask_about_more_users(self, suite: Suite, trained: Any) -> None:
        form = {"active_days": 40}
        assert suite.tasks_test("personalize_active_users", "active_users", form=form) == "success"
        written = max((suite.output / "personalize_active_users" / "input").iterdir(), key=lambda p: p.stat().st_mtime)
        assert len(written.read_text().splitlines()) == USERS + 1
        assert f'{{"userId":"u{FORMER_USER}"}}' in written.read_text().splitlines()

    def test_the_table_has_one_row_a_recommendation_best_first(self, suite: Suite, nightly: Any) -> None:
        published = suite.result(nightly, "publish")
        rows = parquet(published["parquet_uri"])
        assert len(rows) == published["table_rows"]
        answers = suite.answers(nightly)
        assert [row["item_id"] for row in rows if row["user_id"] == "u7"] == list(answers["u7"].ids)
        assert [row["rank"] for row in rows if row["user_id"] == "u7"] == list(range(1, len(answers["u7"].ids) + 1))
        assert {row["run_key"] for row in rows} == {published["run_key"]}

    def test_nobody_is_recommended_what_they_have(self, suite: Suite, nightly: Any) -> None:
        rows = parquet(suite.result(nightly, "publish")["parquet_uri"])
        assert not {(row["user_id"], row["item_id"]) for row in rows} & {
            (f"u{user}", f"i{item}") for user in range(USERS) for item in seen(user)
        }

    def test_a_database_takes_the_rows_and_a_second_attempt_replaces_them(
        self, suite: Suite, nightly: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        database = tmp_path / "results.db"
        connection = {"conn_type": "sqlite", "host": str(database)}
        monkeypatch.setenv("AIRFLOW_CONN_RESULTS", json.dumps(connection))
        form = {"sql_conn_id": "results", "table": "for_users"}
        for _ in range(2):
            ended = suite.tasks_test("personalize_active_users", "publish", nightly.run_id, form=form)
            assert ended == "success", suite.attempts.errors
        with sqlite3.connect(database) as connected:
            [[rows, users]] = connected.execute("SELECT count(*), count(DISTINCT user_id) FROM for_users")
        assert (rows, users) == (suite.result(nightly, "publish")["table_rows"], USERS)

    def test_a_model_that_was_not_published_is_not_used(self, suite: Suite, trained: Any) -> None:
        before = {version["solutionVersionArn"] for version in suite.jobs(SOLUTION_VERSION)}
        assert suite.tasks_test("personalize_train", "train_recommendations") == "success"
        [newest] = {version["solutionVersionArn"] for version in suite.jobs(SOLUTION_VERSION)} - before

        run = suite.test("personalize_active_users")

        published = suite.result(run, "published_models")["solution_versions"]["aws-user-personalization-v2"]
        assert published in before
        hook = PersonalizeHook(aws_conn_id="personalize_test")
        job = hook.describe(BATCH_INFERENCE_JOB, suite.result(run, "recommend"))
        assert job["solutionVersionArn"] == published != newest


class TestCampaign:
    def test_approved_segments_are_published(self, suite: Suite, approved: Any) -> None:
        assert set(suite.states(approved).values()) == {"success"}, suite.attempts.errors
        rows = parquet(suite.result(approved, "publish")["parquet_uri"])
        assert [row["item_id"] for row in rows] == ["i3"] * 20 + ["i4"] * 20
        for item in (3, 4):
            best = [row["user_id"] for row in rows if row["item_id"] == f"i{item}"][:10]
            assert sum(camp(int(user[1:])) == camp(item) for user in best) >= 9

    def test_rejected_segments_are_not(self, suite: Suite, approved: Any, rejected: Any) -> None:
        states = suite.states(rejected)
        assert (states["approve"], states["publish"], rejected.state) == ("success", "skipped", "success")
        published = {path.stem for path in (suite.output / "personalize_campaign" / "table").iterdir()}
        assert suite.output_file(approved).parent.name in published
        assert suite.output_file(rejected).parent.name not in published

    def test_the_question_says_how_many_users_were_found(self, suite: Suite, rejected: Any) -> None:
        from airflow.models.hitl import HITLDetail
        from airflow.utils.session import create_session
        from sqlalchemy import select

        asked = rejected.get_task_instance("approve").id
        with create_session() as session:
            body = session.scalars(select(HITLDetail.body).where(HITLDetail.ti_id == asked)).one()
        assert "| items asked about | 2 |" in body
        assert "| users in them | 40 |" in body

    def test_a_campaign_of_no_items_fails_before_a_job_is_paid_for(
        self, suite: Suite, trained: Any, client: Any
    ) -> None:
        before = len(suite.jobs(BATCH_SEGMENT_JOB))
        run = finished(suite, client, "personalize_campaign", {})
        states = suite.states(run)
        assert run.state == "failed"
        assert (states["items"], states["check_input"]) == ("success", "failed")
        assert "is not ready for a batch job" in suite.attempts.errors["check_input"]
        assert len(suite.jobs(BATCH_SEGMENT_JOB)) == before


@pytest.mark.parametrize(
    ("run", "task_ids"),
    [
        ("nightly", ("active_users", "check_input", "recommend", "check_output", "publish")),
        ("approved", ("items", "check_input", "find_segments", "check_output", "publish")),
    ],
)
def test_the_tasks_of_a_run_can_be_done_again_and_start_no_second_job(
    suite: Suite, request: pytest.FixtureRequest, run: str, task_ids: tuple[str, ...]
) -> None:
    done = request.getfixturevalue(run)
    before = [len(suite.jobs(kind)) for kind in (BATCH_INFERENCE_JOB, BATCH_SEGMENT_JOB)]
    for task_id in task_ids:
        assert suite.tasks_test(done.dag_id, task_id, done.run_id) == "success", suite.attempts.errors
    assert [len(suite.jobs(kind)) for kind in (BATCH_INFERENCE_JOB, BATCH_SEGMENT_JOB)] == before


def test_both_dags_publish_into_one_database_and_keep_their_rows_apart(
    suite: Suite, nightly: Any, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "one.db"
    monkeypatch.setenv("AIRFLOW_CONN_ONE", json.dumps({"conn_type": "sqlite", "host": str(database)}))
    form = {"sql_conn_id": "one"}
    # The campaign first: its table has the fewer columns.
    campaign = finished(suite, client, "personalize_campaign", FORMS["personalize_campaign"] | form)
    assert campaign.state == "success", suite.attempts.errors
    ended = suite.tasks_test(nightly.dag_id, "publish", nightly.run_id, form=form)
    assert ended == "success", suite.attempts.errors
    with sqlite3.connect(database) as connected:
        tables = [name for (name,) in connected.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        writers = [connected.execute(f"SELECT count(DISTINCT run_key) FROM {name}").fetchone()[0] for name in tables]
    assert writers == [1, 1]
