"""The DAGs as they are run: whole, by schedule, by asset, over REST, and task by task.

What a task came to is read from the database, or heard by a listener: the exit code of ``airflow tasks test`` is 0 for
a failed task.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.resources import (
    BATCH_INFERENCE_JOB,
    BATCH_SEGMENT_JOB,
    SOLUTION_VERSION,
    PersonalizeResource,
)
from tests.dags.conftest import FORMS, USERS, ByForm, Suite, camp, seen, triggered

STARTED_BY_TRAININGS = ("personalize_batch_inference", "personalize_batch_segment")

WRONG: dict[str, tuple[str, Any]] = {
    "personalize_train": ("least_ndcg", 2),
    "personalize_batch_inference": ("num_results", 0),
    "personalize_batch_segment": ("num_results", 0),
    "personalize_active_users": ("active_days", 0),
    "personalize_campaign": ("item_ids", [""]),
}


def create_due_runs() -> list[Any]:
    """What the scheduler does in each of its rounds; the runs it made."""
    from airflow.jobs.job import Job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.sqlalchemy import prohibit_commit
    from sqlalchemy import select

    with create_session() as session:
        known = set(session.scalars(select(DagRun.id)))
        with prohibit_commit(session) as guard:
            SchedulerJobRunner(Job())._create_dagruns_for_dags(guard, session)
    with create_session() as session:
        made = session.scalars(select(DagRun).where(DagRun.id.not_in(known))).all()
        for run in made:
            _ = run.consumed_asset_events
        session.expunge_all()
        return list(made)


@pytest.fixture
def unpaused(suite: Suite, trained: Any) -> Iterator[Any]:
    """Unpause DAGs for the length of a test."""
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    def set_paused(paused: bool, *dag_ids: str) -> None:
        with create_session() as session:
            session.execute(update(DagModel).where(DagModel.dag_id.in_(dag_ids)).values(is_paused=paused))

    yield lambda *dag_ids: set_paused(False, *dag_ids)
    set_paused(True, *suite.dags)


def count(model: Any) -> int:
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    with create_session() as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


@pytest.fixture
def other_data(suite: Suite, tmp_path: Path) -> Path:
    """The same data with fewer rows to answer."""
    folder = tmp_path / "data"
    shutil.copytree(suite.data, folder)
    for name in ("users.json", "items.json"):
        lines = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(lines[:3]))
    return folder


class TestWholeRuns:
    def test_training_imports_what_is_there_and_skips_what_is_not(self, suite: Suite, trained: Any) -> None:
        states = suite.states(trained)
        assert states.pop("import_users") == "skipped"
        assert set(states.values()) == {"success"}
        assert trained.state == "success"

    def test_recommendations_answer_every_user_and_leave_out_what_they_have(
        self, suite: Suite, recommended: Any
    ) -> None:
        assert set(suite.states(recommended).values()) == {"success"}
        summary = suite.result(recommended, "check_output")
        assert (summary["answered"], summary["failed"], summary["missing"]) == (USERS, 0, 0)
        rows = suite.answers(recommended)
        for user in range(USERS):
            own = {f"i{item}" for item in seen(user)}
            assert own.isdisjoint(rows[f"u{user}"].ids)

    def test_recommendations_keep_to_the_camp_of_the_user(self, suite: Suite, recommended: Any) -> None:
        rows = suite.answers(recommended)
        first = [(camp(user), camp(int(rows[f"u{user}"].ids[0][1:]))) for user in range(USERS)]
        assert sum(wanted == found for wanted, found in first) >= 0.95 * USERS

    def test_segments_keep_to_the_camp_of_the_item(self, suite: Suite, segmented: Any) -> None:
        assert set(suite.states(segmented).values()) == {"success"}
        rows = suite.answers(segmented)
        for item in range(5):
            best = rows[f"i{item}"].ids[:10]
            assert sum(camp(int(user[1:])) == camp(item) for user in best) >= 9

    def test_every_run_writes_into_a_folder_of_its_own(self, suite: Suite, recommended: Any) -> None:
        folder = suite.output_file(recommended).parent
        assert folder.parent == suite.output / "personalize_batch_inference"
        assert set(folder.name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
        assert {path.name for path in folder.iterdir()} == {"users.json.out", "_CHECK"}

    def test_nothing_is_left_queued(self, trained: Any, recommended: Any, segmented: Any) -> None:
        from airflow.models.asset import AssetDagRunQueue

        assert count(AssetDagRunQueue) == 0


class TestStartedByTrainings:
    """One run of each batch DAG after two trainings, which differ in their data folder."""

    def test_the_last_training_counts(self, suite: Suite, unpaused: Any, other_data: Path) -> None:
        from airflow.models.asset import AssetDagRunQueue

        unpaused(*STARTED_BY_TRAININGS)
        form = {"data_uri": f"file://{other_data}"}
        assert suite.tasks_test("personalize_train", "publish_models", form=form) == "success"

        runs = create_due_runs()

        assert {run.dag_id for run in runs} == set(STARTED_BY_TRAININGS)
        assert count(AssetDagRunQueue) == 0
        for run in runs:
            assert run.run_type == "asset_triggered"
            assert run.logical_date is None
            assert not run.conf
            assert len(run.consumed_asset_events) >= 2
            ended = suite.finish(run.dag_id, run.run_id)
            assert ended.state == "success", suite.attempts.errors
            assert set(suite.states(ended).values()) == {"success"}
            assert suite.result(ended, "check_output")["answered"] == 3


class TestBySchedule:
    @pytest.mark.parametrize(
        ("dag_id", "due", "skipped"),
        [
            ("personalize_train", datetime(2026, 3, 1, tzinfo=UTC), {"import_users"}),
            ("personalize_active_users", datetime(2026, 3, 2, 3, tzinfo=UTC), set()),
        ],
    )
    def test_a_run_is_created_when_it_is_due_and_runs_with_the_form_as_it_is(
        self, suite: Suite, unpaused: Any, dag_id: str, due: datetime, skipped: set[str]
    ) -> None:
        from airflow.models.dag import DagModel
        from airflow.utils.session import create_session
        from sqlalchemy import update

        unpaused(dag_id)
        with create_session() as session:
            session.execute(
                update(DagModel)
                .where(DagModel.dag_id == dag_id)
                .values(
                    next_dagrun=due,
                    next_dagrun_data_interval_start=due,
                    next_dagrun_data_interval_end=due,
                    next_dagrun_create_after=due,
                )
            )

        [run] = create_due_runs()

        assert (run.dag_id, run.run_type, run.logical_date) == (dag_id, "scheduled", due)
        ended = suite.finish(run.dag_id, run.run_id)
        assert ended.state == "success", suite.attempts.errors
        states = {task_id: "skipped" if task_id in skipped else "success" for task_id in suite.dags[dag_id].task_ids}
        assert suite.states(ended) == states


@pytest.mark.parametrize("dag_id", FORMS)
class TestOverRest:
    """What the UI's trigger form does as well: it sends all of its fields, and no date."""

    def test_a_run_without_a_date_takes_its_form(self, suite: Suite, by_form: ByForm, dag_id: str) -> None:
        run = by_form(dag_id)
        assert run.state == "success", suite.attempts.errors
        assert (run.run_type, run.logical_date) == ("manual", None)
        assert run.conf == suite.dags[dag_id].params.dump() | FORMS[dag_id]
        skipped = {task_id for task_id, state in suite.states(run).items() if state != "success"}
        assert skipped == ({"import_users"} if dag_id == "personalize_train" else set())

    def test_a_form_that_is_wrong_is_refused(self, client: Any, trained: Any, dag_id: str) -> None:
        field, value = WRONG[dag_id]
        answer = triggered(client, dag_id, {field: value})
        assert answer.status_code == 400
        assert field in answer.text


class TestWhatTheFormSays:
    def test_the_training_makes_the_dataset_group_that_it_names_and_trains_its_recipe(
        self, suite: Suite, by_form: ByForm
    ) -> None:
        made = suite.result(by_form("personalize_train"), "dataset_group")
        assert made["dataset_group_arn"].endswith(":dataset-group/by-form")
        assert set(made["solution_arns"]) == {"by-form-user-personalization", "by-form-item-affinity"}

    @pytest.mark.parametrize(
        ("dag_id", "asked"),
        {
            "personalize_batch_inference": {f"u{user}" for user in range(USERS)},
            "personalize_batch_segment": {f"i{item}" for item in range(5)},
            "personalize_active_users": {f"u{user}" for user in range(USERS + 1)},
            "personalize_campaign": {"i3", "i4"},
        }.items(),
    )
    def test_each_question_is_answered_with_so_many_results(
        self, suite: Suite, by_form: ByForm, dag_id: str, asked: set[str]
    ) -> None:
        rows = suite.answers(by_form(dag_id))
        assert {question: len(row.ids) for question, row in rows.items()} == dict.fromkeys(
            asked, FORMS[dag_id]["num_results"]
        )

    def test_without_the_filter_nothing_is_left_out(self, suite: Suite, by_form: ByForm) -> None:
        rows = suite.answers(by_form("personalize_batch_inference"))
        # The best of most users is something they have.
        assert any(f"i{item}" in rows[f"u{user}"].ids for user in range(USERS) for item in seen(user))


class TestTaskByTask:
    @pytest.mark.parametrize(
        ("dag_id", "task_ids"),
        {
            "personalize_train": (
                "dataset_group",
                "import_interactions",
                "import_items",
                "train_recommendations",
                "train_segments",
                "metrics_gate",
                "publish_models",
            ),
            "personalize_batch_inference": ("check_input", "recommend", "check_output"),
            "personalize_batch_segment": ("check_input", "find_segments", "check_output"),
            # What else they have needs the questions of a run.
            "personalize_active_users": ("published_models", "active_users"),
            "personalize_campaign": ("published_models", "items"),
        }.items(),
    )
    def test_a_task_alone_finds_what_it_needs_in_the_service(
        self, suite: Suite, trained: Any, dag_id: str, task_ids: tuple[str, ...]
    ) -> None:
        for task_id in task_ids:
            assert suite.tasks_test(dag_id, task_id) == "success", suite.attempts.errors

    @pytest.mark.parametrize("task_id", ["check_output", "publish"])
    @pytest.mark.parametrize(
        ("dag_id", "job", "job_task_id"),
        [
            ("personalize_active_users", BATCH_INFERENCE_JOB, "recommend"),
            ("personalize_campaign", BATCH_SEGMENT_JOB, "find_segments"),
        ],
    )
    def test_a_task_alone_takes_the_newest_job_of_the_model_that_the_form_names(
        self,
        suite: Suite,
        by_form: ByForm,
        dag_id: str,
        job: PersonalizeResource,
        job_task_id: str,
        task_id: str,
    ) -> None:
        arn = suite.result(by_form(dag_id), job_task_id)
        model = PersonalizeHook(aws_conn_id="personalize_test").describe(job, arn)["solutionVersionArn"]
        form = {"solution_version_arn": model}
        assert suite.tasks_test(dag_id, task_id, form=form) == "success", suite.attempts.errors

    def test_a_task_alone_without_data_is_skipped(self, suite: Suite, trained: Any) -> None:
        assert suite.tasks_test("personalize_train", "import_users") == "skipped"

    def test_an_import_without_interactions_fails_and_no_model_is_trained_on_old_ones(
        self, suite: Suite, trained: Any, tmp_path: Path
    ) -> None:
        form = {"data_uri": f"file://{tmp_path}"}
        assert suite.tasks_test("personalize_train", "import_interactions", form=form) == "failed"
        assert f"There is no file://{tmp_path}/interactions.csv" in suite.attempts.errors["import_interactions"]

    def test_a_task_of_a_run_picks_up_that_runs_job(self, suite: Suite, recommended: Any) -> None:
        before = self.job_arns(suite)
        assert suite.tasks_test("personalize_batch_inference", "recommend", recommended.run_id) == "success"
        assert self.job_arns(suite) == before
        assert suite.result(recommended, "recommend") in before

    @staticmethod
    def job_arns(suite: Suite) -> set[str]:
        return {job["batchInferenceJobArn"] for job in suite.jobs(BATCH_INFERENCE_JOB)}

    def test_a_training_of_a_run_is_not_done_twice(self, suite: Suite, trained: Any) -> None:
        before = suite.jobs(SOLUTION_VERSION)
        assert suite.tasks_test("personalize_train", "train_segments", trained.run_id) == "success"
        assert len(suite.jobs(SOLUTION_VERSION)) == len(before)

    def test_a_model_that_is_not_good_enough_ends_at_the_gate(self, suite: Suite, trained: Any) -> None:
        form = {"least_ndcg": 1.0}
        ended = suite.tasks_test("personalize_train", "metrics_gate", trained.run_id, form=form)
        assert ended == "failed"
        assert "Not good enough" in suite.attempts.errors["metrics_gate"]
        assert "publish_models" in suite.dags["personalize_train"].get_task("metrics_gate").downstream_task_ids

    def test_an_unknown_dataset_group_fails_and_says_what_to_do(self, suite: Suite, trained: Any) -> None:
        form = {"dataset_group": "nobody"}
        ended = suite.tasks_test("personalize_batch_inference", "recommend", form=form)
        assert ended == "failed"
        assert "no solution 'nobody-user-personalization-v2'" in suite.attempts.errors["recommend"]
        assert "Run personalize_train" in suite.attempts.errors["recommend"]

    def test_the_real_command_continues_a_run(self, suite: Suite, segmented: Any) -> None:
        command = [str(Path(sys.executable).parent / "airflow"), "tasks", "test"]
        command += ["personalize_batch_segment", "check_output", segmented.run_id]
        subprocess.run(command, env=dict(os.environ), capture_output=True, check=True, timeout=100)
        assert suite.states(segmented)["check_output"] == "success"
        assert suite.result(segmented, "check_output")["answered"] == 5
