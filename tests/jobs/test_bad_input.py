"""Bad input costs a row where it can, else the job, and always says why; nothing is lost and nothing half-written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_personalize.local import runner
from airflow_provider_personalize.local.backend import open_backend
from tests.backends import USERS, batch_request, call, fill, run_jobs
from tests.jobs.conftest import Jobs, rows_of

Users = Callable[..., Path]


def test_input_that_is_not_there_fails_the_job_and_names_the_place(jobs: Jobs, tmp_path: Path) -> None:
    job = jobs.infer(f"file://{tmp_path}/none.json", f"file://{tmp_path}/out/")
    assert job["status"] == "CREATE FAILED"
    assert job["failureReason"] == f"Invalid S3 input path: file://{tmp_path}/none.json matches no object."
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"\n\r\n  \n"], ids=["no byte", "blank lines"])
def test_input_without_a_row_fails_the_job(jobs: Jobs, users: Users, tmp_path: Path, content: bytes) -> None:
    job = jobs.infer(f"file://{users(lines=content)}", f"file://{tmp_path}/out/")
    assert job["status"] == "CREATE FAILED"
    assert "holds no rows" in job["failureReason"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"userId": "' + b"x" * (1 << 20) + b'"}', "at most 256"),
        (b'{"userId": "caf\xe9"}', "not UTF-8"),
        (b'[{"userId": "u1"}, {"userId": "u2"}]', "one JSON object per line"),
        (b'{"itemId": "i1"}', '"userId" is missing'),
        (b'{"userId": "u1", "user": 1}', 'unknown key "user"'),
        (b'{"userId": 1}', "ids are JSON strings"),
        (b'{"userId": "u1"', "not JSON"),
    ],
    ids=["1 MB line", "invalid UTF-8", "JSON array", "wrong key", "unknown key", "number as id", "cut off"],
)
def test_a_bad_row_costs_that_row(jobs: Jobs, users: Users, tmp_path: Path, line: bytes, message: str) -> None:
    source = users(lines=b'{"userId": "u1"}\n' + line + b'\n{"userId": "u2"}\n')
    job = jobs.infer(f"file://{source}", f"file://{tmp_path}/out/")
    assert job["status"] == "ACTIVE"
    before, bad, after = rows_of(tmp_path / "out" / "users.json.out")
    assert before["error"] is after["error"] is None
    assert bad["output"] is None
    assert bad["error"]["errorMessage"].startswith("Line 2: ")
    assert message in bad["error"]["errorMessage"]


def test_an_array_over_several_lines_fails_line_by_line(jobs: Jobs, users: Users, tmp_path: Path) -> None:
    source = users(lines=b'[\n{"userId": "u1"},\n{"userId": "u2"}\n]\n')
    assert jobs.infer(f"file://{source}", f"file://{tmp_path}/out/")["status"] == "ACTIVE"
    rows = rows_of(tmp_path / "out" / "users.json.out")
    assert [row["output"] is None for row in rows] == [True, True, False, True]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk to fill")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_fails_the_job_with_the_reason_and_leaves_no_partial_file(
    jobs: Jobs, users: Users, small_disk: Path
) -> None:
    source = users(*(f"u{number}" for number in range(1000)))
    job = jobs.infer(f"file://{source}", f"file://{small_disk}/out/")
    assert job["status"] == "CREATE FAILED"
    assert "No space left on device" in job["failureReason"]
    assert os.listdir(small_disk) == []


def test_a_failed_job_leaves_earlier_output_as_it_was(jobs: Jobs, users: Users, small_disk: Path) -> None:
    jobs.infer(f"file://{users('u1')}", f"file://{small_disk}/out/")
    before = (small_disk / "out" / "users.json.out").read_bytes()
    source = users(*(f"u{number}" for number in range(1000)))
    assert jobs.infer(f"file://{source}", f"file://{small_disk}/out/")["status"] == "CREATE FAILED"
    assert (small_disk / "out" / "users.json.out").read_bytes() == before


def test_output_that_cannot_be_written_fails_the_job_with_the_place(jobs: Jobs, users: Users, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    job = jobs.infer(f"file://{users('u1')}", f"file://{tmp_path}/out/")
    assert job["status"] == "CREATE FAILED"
    assert job["failureReason"].startswith(f"Invalid S3 output path: file://{tmp_path}/out/")


def test_a_prefix_takes_every_object_that_starts_with_it(jobs: Jobs, users: Users, tmp_path: Path) -> None:
    users("u1", name="a/users.json")
    users("u2", name="a_old/users.json")
    users("u3", name="b/users.json")
    assert jobs.infer(f"file://{tmp_path}/in/a", f"file://{tmp_path}/out/")["status"] == "ACTIVE"
    outputs = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.out")}
    assert outputs == {"a/users.json.out", "a_old/users.json.out"}


def test_a_job_never_takes_its_own_output_as_input(jobs: Jobs, users: Users, tmp_path: Path) -> None:
    """Input and output side by side, matched by one prefix: a second run sees the first one's output there."""
    source = users("u1", "u2")
    for _ in range(2):
        assert jobs.infer(f"file://{source}", f"file://{tmp_path}/in/")["status"] == "ACTIVE"
    assert sorted(os.listdir(tmp_path / "in")) == ["_CHECK", "users.json", "users.json.out"]


def test_names_with_spaces_and_letters_of_any_alphabet_are_read_and_written(
    jobs: Jobs, users: Users, tmp_path: Path
) -> None:
    source = users("u1", name="užívatelé 1.json")
    assert jobs.infer(f"file://{source}", f"file://{tmp_path}/výstup 1/")["status"] == "ACTIVE"
    assert rows_of(tmp_path / "výstup 1" / "užívatelé 1.json.out")[0]["error"] is None


def test_a_path_is_taken_literally_as_airflow_takes_it(jobs: Jobs, users: Users, tmp_path: Path) -> None:
    """`#`, `?` and `%20` begin no fragment, no query and no escape in a location."""
    from airflow.sdk import ObjectStoragePath

    source = users("u1", name="a#1?b%20c.json")
    users("u2", name="a")
    destination = f"file://{tmp_path}/out#1/50%/run?x/"
    assert jobs.infer(f"file://{source}", destination)["status"] == "ACTIVE"
    output = ObjectStoragePath(f"{destination}a#1?b%20c.json.out")
    assert output.exists()
    assert [row["input"] for row in rows_of(Path(output.path))] == [{"userId": "u1"}]
    assert sorted(os.listdir(tmp_path)) == ["in", "out#1"]


def test_a_resource_deleted_under_a_waiting_job_fails_it_with_a_reason(
    jobs: Jobs, users: Users, tmp_path: Path
) -> None:
    expression = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch")'
    filter_arn = call(
        jobs.backend, "CreateFilter", name="gone", datasetGroupArn=jobs.arns.group, filterExpression=expression
    )
    request = batch_request(jobs.arns.personalization, "of-gone", f"file://{users('u1')}", f"file://{tmp_path}/out/")
    arn = call(jobs.backend, "CreateBatchInferenceJob", **request, **filter_arn)["batchInferenceJobArn"]
    jobs.backend.store.delete(filter_arn["filterArn"])
    lease = runner.claim(jobs.backend)
    assert lease is not None
    assert runner.run(jobs.backend, lease)
    job = call(jobs.backend, "DescribeBatchInferenceJob", batchInferenceJobArn=arn)["batchInferenceJob"]
    assert (job["status"], "filter/gone" in job["failureReason"]) == ("CREATE FAILED", True)


def test_a_solution_version_deleted_under_a_waiting_job_fails_it_with_a_reason(
    jobs: Jobs, users: Users, tmp_path: Path
) -> None:
    recipe = "arn:aws:personalize:::recipe/aws-popularity-count"
    solution = call(jobs.backend, "CreateSolution", name="gone", datasetGroupArn=jobs.arns.group, recipeArn=recipe)
    version = call(jobs.backend, "CreateSolutionVersion", **solution)["solutionVersionArn"]
    run_jobs(jobs.backend)
    request = batch_request(version, "of-gone-version", f"file://{users('u1')}", f"file://{tmp_path}/out/")
    arn = call(jobs.backend, "CreateBatchInferenceJob", **request)
    jobs.backend.store.delete(solution["solutionArn"])
    run_jobs(jobs.backend)
    job = call(jobs.backend, "DescribeBatchInferenceJob", **arn)["batchInferenceJob"]
    assert job["status"] == "CREATE FAILED"
    assert job["failureReason"] == f"Resource Arn {version} does not exist any more."


class TestQuotas:
    """What one job may read, made small; the service's own numbers are in tests/unit/local/test_quotas.py."""

    def infer(self, jobs: Jobs, source: Path, tmp_path: Path, **settings: int) -> dict[str, Any]:
        small = Jobs(replace(jobs.backend, settings=replace(jobs.backend.settings, **settings)), jobs.arns)
        return small.infer(f"file://{source}", f"file://{tmp_path}/out/")

    def test_more_files_than_allowed_fail_the_job(self, jobs: Jobs, users: Users, tmp_path: Path) -> None:
        for number in range(3):
            users("u1", name=f"{number}.json")
        assert self.infer(jobs, tmp_path / "in", tmp_path, batch_input_files=3)["status"] == "ACTIVE"
        job = self.infer(jobs, tmp_path / "in", tmp_path, batch_input_files=2)
        assert (job["status"], job["failureReason"]) == ("CREATE FAILED", "The input has 3 files; the quota is 2.")

    def test_more_bytes_than_allowed_fail_the_job(self, jobs: Jobs, users: Users, tmp_path: Path) -> None:
        source = users("u1", "u2")
        size = source.stat().st_size
        assert self.infer(jobs, source, tmp_path, batch_input_bytes=size)["status"] == "ACTIVE"
        job = self.infer(jobs, source, tmp_path, batch_input_bytes=size - 1)
        assert f"{size} bytes" in job["failureReason"]

    def test_more_rows_in_a_file_than_allowed_fail_the_job(self, jobs: Jobs, users: Users, tmp_path: Path) -> None:
        users("u1", "u2", name="a.json")
        source = users("u1", name="b.json").parent
        assert self.infer(jobs, source, tmp_path, batch_inference_rows=2)["status"] == "ACTIVE"
        job = self.infer(jobs, source, tmp_path, batch_inference_rows=1)
        assert (job["status"], "a.json holds more than 1 rows" in job["failureReason"]) == ("CREATE FAILED", True)


def test_rows_may_be_asked_for_in_another_order_and_then_join_by_their_input_alone(
    users: Users, tmp_path: Path
) -> None:
    root = tmp_path / "shuffling"
    root.mkdir()
    (root / "settings.toml").write_text("shuffle_rows = 1\nminimum_interactions = 500\n")
    backend = open_backend(root)
    jobs = Jobs(backend, fill(backend, root / "data"))
    names = [f"u{number}" for number in range(USERS)]
    outputs = []
    for run in ("first", "second"):
        assert jobs.infer(f"file://{users(*names)}", f"file://{tmp_path}/{run}/")["status"] == "ACTIVE"
        outputs.append((tmp_path / run / "users.json.out").read_bytes())
    answered = [row["input"]["userId"] for row in rows_of(tmp_path / "first" / "users.json.out")]
    assert answered != names
    assert sorted(answered) == sorted(names)
    assert outputs[0] == outputs[1]
