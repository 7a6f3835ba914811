"""One task mapped over many segments: a job for each, with a pool for the service's quota."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from airflow_provider_personalize.batch.output import read_output
from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.resources import BATCH_INFERENCE_JOB, SOLUTION
from tests.dags.conftest import ByForm, Suite, read

DAG = """
from airflow.sdk import DAG, Param, task

from airflow_provider_personalize.operators.batch_jobs import PersonalizeBatchInferenceJobOperator


def lose_the_second_once(context, result=None):
    instance = context["ti"]
    if (instance.map_index, instance.try_number) == (1, 1):
        raise RuntimeError("the worker is lost")


with DAG("mapped", schedule=None, params={"segments": Param([], type="array")}):

    @task
    def segments(params):
        return params["segments"]

    PersonalizeBatchInferenceJobOperator.partial(
        task_id="recommend",
        aws_conn_id="personalize_test",
        pool="personalize_inference_jobs",
        deferrable=True,
        retries=1,
        post_execute=lose_the_second_once,
        map_index_template="{{ task.input_uri.rpartition('/')[2] }}",
    ).expand_kwargs(segments())
"""
CAMPS, BY_FORM = "camps-user-personalization-v2", "by-form-user-personalization"
SEGMENTS = {
    "drama.json": (CAMPS, ["u0", "u2"]),
    "comedy.json": (CAMPS, ["u1", "u3"]),
    "both.json": (BY_FORM, ["u0", "u1", "u5"]),
}
"""By input file: the solution to ask, and about whom."""


@dataclass
class Mapped:
    """A finished run of the DAG, and the suite that it is part of."""

    suite: Suite
    run: Any

    def instances(self) -> list[Any]:
        """The task instances of the mapped task, by map index."""
        return [self.run.get_task_instance("recommend", map_index=index) for index in range(len(SEGMENTS))]

    def jobs(self) -> list[str]:
        """The ARN of each one's job."""
        return [
            instance.xcom_pull(task_ids="recommend", map_indexes=instance.map_index) for instance in self.instances()
        ]

    def described(self) -> list[dict[str, Any]]:
        hook = PersonalizeHook(aws_conn_id="personalize_test")
        return [hook.describe(BATCH_INFERENCE_JOB, arn) for arn in self.jobs()]


def all_jobs(suite: Suite) -> set[str]:
    return {job["batchInferenceJobArn"] for job in suite.jobs(BATCH_INFERENCE_JOB)}


@pytest.fixture(scope="module")
def with_mapped_dag(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """The suite and one DAG more, in a bundle of its own."""
    from airflow.models.pool import Pool

    folder = tmp_path_factory.mktemp("mapped")
    (folder / "mapped.py").write_text(DAG)
    variable = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"
    [bundle] = json.loads(os.environ[variable])
    Pool.create_or_update_pool("personalize_inference_jobs", slots=5, description="the quota", include_deferred=True)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(
            variable, json.dumps([bundle, {**bundle, "name": "mapped", "kwargs": {"path": str(folder)}}])
        )
        yield replace(suite, dags={**suite.dags, **read(folder)})


@pytest.fixture(scope="module")
def before(suite: Suite, by_form: ByForm) -> set[str]:
    """The jobs that there are before the run; two dataset groups have models to ask."""
    by_form("personalize_train")
    return all_jobs(suite)


@pytest.fixture(scope="module")
def mapped(with_mapped_dag: Suite, before: set[str]) -> Mapped:
    folder = with_mapped_dag.data.parent / "segments"
    folder.mkdir()
    solutions = {solution["name"]: solution["solutionArn"] for solution in with_mapped_dag.jobs(SOLUTION)}
    segments = []
    for name, (solution, users) in SEGMENTS.items():
        (folder / name).write_bytes(b"".join(orjson.dumps({"userId": user}) + b"\n" for user in users))
        segments.append(
            {
                "solution_arn": solutions[solution],
                "input_uri": f"file://{folder / name}",
                "output_uri": f"file://{with_mapped_dag.output}/mapped/{{{{ run_id }}}}/{{{{ ti.map_index }}}}/",
                "num_results": 3,
            }
        )
    return Mapped(with_mapped_dag, with_mapped_dag.test("mapped", run_conf={"segments": segments}))


def test_each_segment_has_a_job_of_its_own_in_the_pool(mapped: Mapped) -> None:
    assert [instance.state for instance in mapped.instances()] == ["success"] * len(SEGMENTS)
    assert {instance.pool for instance in mapped.instances()} == {"personalize_inference_jobs"}
    described = mapped.described()
    assert len({job["jobName"] for job in described}) == len(SEGMENTS)
    assert all(job["jobName"].startswith("mapped-recommend-") for job in described)


def test_the_ui_names_each_by_its_segment(mapped: Mapped) -> None:
    assert [instance.rendered_map_index for instance in mapped.instances()] == list(SEGMENTS)


def test_each_asks_its_own_model_about_its_own_users(mapped: Mapped) -> None:
    for index, (job, (name, (solution, users))) in enumerate(zip(mapped.described(), SEGMENTS.items(), strict=True)):
        assert f":solution/{solution}/" in job["solutionVersionArn"]
        place = job["jobOutput"]["s3DataDestination"]["path"]
        assert place.endswith(f"/{mapped.run.run_id}/{index}/")
        with Path(place.removeprefix("file://"), f"{name}.out").open("rb") as lines:
            assert [row.input["userId"] for row in read_output(lines)] == users


def test_one_that_is_retried_adopts_its_own_job(mapped: Mapped, before: set[str]) -> None:
    assert [instance.try_number for instance in mapped.instances()] == [1, 2, 1]
    assert all_jobs(mapped.suite) - before >= set(mapped.jobs())
    assert len(all_jobs(mapped.suite) - before) == len(SEGMENTS)


def test_one_that_is_cleared_starts_a_new_job_for_itself_alone(mapped: Mapped, client: Any) -> None:
    jobs, known = mapped.jobs(), all_jobs(mapped.suite)
    clear = {"dag_run_id": mapped.run.run_id, "task_ids": [["recommend", 1]], "dry_run": False, "only_failed": False}
    cleared = client.post("/api/v2/dags/mapped/clearTaskInstances", json=clear)
    assert cleared.status_code == 200, cleared.text
    assert mapped.suite.tasks_test("mapped", "recommend", mapped.run.run_id, map_index=1) == "success"
    [new] = all_jobs(mapped.suite) - known
    assert mapped.jobs() == [jobs[0], new, jobs[2]]
