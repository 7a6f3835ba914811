"""``kill -9`` of a runner, wherever it strikes, ends in the job done by another or in a failure reason.

Never in a lost job, never in half a file.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_personalize.local import runner
from tests.backends import USERS, batch_request, call
from tests.recovery.conftest import LEASE_SECONDS, Trained, start_killed_runner

PACKAGE = "airflow_provider_personalize.local"
KILL_POINTS = {
    "after its lease": f"{PACKAGE}.runner:run",
    "while reading": f"{PACKAGE}.work.answering:Answering.answered",
    "before the output's rename": f"{PACKAGE}.storage:Disk.publish",
    "between rename and ACTIVE": f"{PACKAGE}.store:Store.publish",
}


@pytest.fixture
def job(trained: Trained, tmp_path: Path, output: Path) -> str:
    """The name of a pending batch inference job over all users."""
    name = f"job-{secrets.token_hex(4)}"
    source = tmp_path / "users.json"
    source.write_text("".join(json.dumps({"userId": f"u{user}"}) + "\n" for user in range(USERS)))
    request = batch_request(trained.arns.personalization, name, f"file://{source}", f"file://{output}", numResults=5)
    call(trained.backend, "CreateBatchInferenceJob", **request)
    return name


def assert_whole(output: Path) -> None:
    """One line a user, each a result; the marker; and nothing else, hidden files included."""
    assert sorted(os.listdir(output)) == ["_CHECK", "users.json.out"]
    rows = [json.loads(line) for line in (output / "users.json.out").read_bytes().splitlines()]
    assert [row["input"]["userId"] for row in rows] == [f"u{user}" for user in range(USERS)]
    assert all(len(row["output"]["recommendedItems"]) == 5 and row["error"] is None for row in rows)


@pytest.mark.parametrize("place", KILL_POINTS.values(), ids=KILL_POINTS)
def test_a_killed_runners_job_is_done_by_another(trained: Trained, job: str, output: Path, place: str) -> None:
    lease = runner.claim(trained.backend)
    assert lease is not None
    assert start_killed_runner(trained.backend, lease, place).wait(timeout=30) == -signal.SIGKILL

    described = trained.run_until_finished(lambda: trained.inference(job))

    assert (described["status"], described.get("failureReason")) == ("ACTIVE", None)
    assert_whole(output)
    (state,) = [state for state in trained.backend.store.job_states() if state.arn == lease.arn]
    assert state.attempts == 2


def test_a_parent_that_sees_its_runner_die_gives_the_job_back_at_once(trained: Trained, job: str) -> None:
    lease = runner.claim(trained.backend)
    assert lease is not None
    process = start_killed_runner(trained.backend, lease, KILL_POINTS["after its lease"])
    runner.see_off(trained.backend, lease, process)
    again = runner.claim(trained.backend)
    assert again is not None
    assert (again.arn, again.attempt) == (lease.arn, 2)
    assert runner.run(trained.backend, again)


def test_a_job_whose_runners_keep_dying_fails_with_a_reason(trained: Trained, job: str, output: Path) -> None:
    for attempt in (1, 2, 3):
        lease = runner.claim(trained.backend)
        assert lease is not None
        assert lease.attempt == attempt
        process = start_killed_runner(trained.backend, lease, KILL_POINTS["while reading"])
        runner.see_off(trained.backend, lease, process)
    assert runner.claim(trained.backend) is None
    described = trained.inference(job)
    assert described["status"] == "CREATE FAILED"
    assert "died 3 times" in described["failureReason"]
    assert not (output / "users.json.out").exists()


def test_a_late_runners_output_is_discarded(trained: Trained, job: str, output: Path) -> None:
    lease = runner.claim(trained.backend)
    assert lease is not None
    # Stopped, not dead: it wakes up when another has done its job.
    late = start_killed_runner(trained.backend, lease, f"{PACKAGE}.work.running:Running.before_publishing", "SIGSTOP")
    os.waitpid(late.pid, os.WUNTRACED)
    described = trained.run_until_finished(lambda: trained.inference(job))
    assert described["status"] == "ACTIVE"
    written = (output / "users.json.out").stat()

    late.send_signal(signal.SIGCONT)
    assert late.wait(timeout=20) == 75

    assert trained.inference(job) == described
    assert (output / "users.json.out").stat().st_mtime_ns == written.st_mtime_ns
    assert_whole(output)


def test_a_runner_asked_to_stop_gives_its_job_back_without_an_attempt(trained: Trained, job: str) -> None:
    lease = runner.claim(trained.backend)
    assert lease is not None
    process = start_killed_runner(trained.backend, lease, f"{PACKAGE}.work.answering:Answering.answered", "SIGTERM")
    assert process.wait(timeout=30) == 143
    again = runner.claim(trained.backend)
    assert again is not None
    assert (again.arn, again.attempt) == (lease.arn, 1)
    assert runner.run(trained.backend, again)


def test_a_job_outlives_the_process_that_created_it(trained: Trained, job: str, output: Path) -> None:
    starter = (
        "import sys; from pathlib import Path; from airflow_provider_personalize.local import backend, runner;"
        "runner.start_waiting(backend.open_backend(Path(sys.argv[1]), sys.argv[2]), {})"
    )
    command = [sys.executable, "-c", starter, str(trained.backend.root), trained.backend.store.url]
    creator = subprocess.run(command, check=True, timeout=30)
    assert creator.returncode == 0
    deadline = time.monotonic() + 30
    while trained.inference(job)["status"] != "ACTIVE" and time.monotonic() < deadline:  # looks, and starts nothing
        time.sleep(0.05)
    assert_whole(output)


def _describe(trained: Trained, kind: str, arn: str) -> dict[str, Any]:
    operation, member = {
        "dataset-import-job": ("DescribeDatasetImportJob", "datasetImportJob"),
        "solution-version": ("DescribeSolutionVersion", "solutionVersion"),
    }[kind]
    return call(trained.backend, operation, **{f"{member}Arn": arn})[member]


@pytest.mark.parametrize("place", ["work.running:Running.report", "store:Store.publish"])
def test_a_killed_import_is_done_by_another(trained: Trained, place: str) -> None:
    dataset = trained.arns.group.replace("dataset-group/small", "dataset/small/INTERACTIONS")
    arn = call(
        trained.backend,
        "CreateDatasetImportJob",
        jobName=f"import-{secrets.token_hex(4)}",
        datasetArn=dataset,
        dataSource={"dataLocation": f"file://{trained.backend.root}/data/interactions.csv"},
    )["datasetImportJobArn"]
    lease = runner.claim(trained.backend)
    assert lease is not None
    assert start_killed_runner(trained.backend, lease, f"{PACKAGE}.{place}").wait(timeout=30) == -signal.SIGKILL
    described = trained.run_until_finished(lambda: _describe(trained, "dataset-import-job", arn))
    assert described["status"] == "ACTIVE"


def test_a_killed_training_is_done_by_another(trained: Trained) -> None:
    solution = trained.arns.segmentation.rsplit("/", 1)[0]
    arn = call(trained.backend, "CreateSolutionVersion", solutionArn=solution)["solutionVersionArn"]
    lease = runner.claim(trained.backend)
    assert lease is not None
    process = start_killed_runner(trained.backend, lease, f"{PACKAGE}.store:Store.publish")
    assert process.wait(timeout=30) == -signal.SIGKILL
    described = trained.run_until_finished(lambda: _describe(trained, "solution-version", arn))
    assert described["status"] == "ACTIVE"


def test_a_lease_runs_out_on_the_databases_clock(trained: Trained, job: str) -> None:
    lease = runner.claim(trained.backend)
    assert lease is not None
    assert runner.claim(trained.backend) is None
    time.sleep(LEASE_SECONDS + 0.3)
    again = runner.claim(trained.backend)
    assert again is not None
    assert not trained.backend.store.heartbeat(lease)
    assert not trained.backend.store.publish(lease, "ACTIVE")
    assert runner.run(trained.backend, again)
