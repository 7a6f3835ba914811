"""A stopped training really stops: its runner's process ends, and the solution version is not trained by another."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from airflow_provider_personalize.local import runner
from airflow_provider_personalize.local.store import Lease
from tests.backends import Refused, call
from tests.jobs.conftest import Jobs

# A runner whose training takes a minute.
SLOW = """
import sys, time
from airflow_provider_personalize.local import runner
from airflow_provider_personalize.local.work import training
training.run = lambda running: time.sleep(60)
sys.exit(runner.main(sys.argv[1:]))
"""


@pytest.fixture
def version(jobs: Jobs) -> str:
    solution = jobs.arns.personalization.rsplit("/", 1)[0]
    return str(call(jobs.backend, "CreateSolutionVersion", solutionArn=solution)["solutionVersionArn"])


def status(jobs: Jobs, version: str) -> str:
    described = call(jobs.backend, "DescribeSolutionVersion", solutionVersionArn=version)
    return str(described["solutionVersion"]["status"])


def start_slow(jobs: Jobs, lease: Lease) -> subprocess.Popen[bytes]:
    arguments = [str(jobs.backend.root), lease.arn, lease.kind, lease.owner, str(lease.attempt), str(lease.seconds)]
    return subprocess.Popen([sys.executable, "-c", SLOW, *arguments], env=dict(os.environ))


def test_a_training_that_waits_is_stopped_at_once(jobs: Jobs, version: str) -> None:
    call(jobs.backend, "StopSolutionVersionCreation", solutionVersionArn=version)
    assert status(jobs, version) == "CREATE STOPPED"
    assert runner.claim(jobs.backend) is None


def test_a_training_in_progress_has_its_runner_end(jobs: Jobs, version: str) -> None:
    lease = runner.claim(jobs.backend)
    assert lease is not None
    process = start_slow(jobs, lease)
    time.sleep(0.5)
    begun = time.monotonic()
    call(jobs.backend, "StopSolutionVersionCreation", solutionVersionArn=version)
    assert status(jobs, version) == "CREATE STOPPING"
    call(jobs.backend, "StopSolutionVersionCreation", solutionVersionArn=version)  # asked twice, stopped once
    assert process.wait(timeout=20) == 0
    assert time.monotonic() - begun < 10
    assert status(jobs, version) == "CREATE STOPPED"
    assert runner.claim(jobs.backend) is None


def test_a_stopping_training_whose_runner_died_is_not_taken_again(jobs: Jobs, version: str) -> None:
    lease = runner.claim(jobs.backend)
    assert lease is not None
    process = start_slow(jobs, lease)
    process.kill()
    call(jobs.backend, "StopSolutionVersionCreation", solutionVersionArn=version)
    runner.see_off(jobs.backend, lease, process)
    assert runner.claim(jobs.backend) is None
    assert status(jobs, version) == "CREATE STOPPED"


def test_a_training_that_ends_while_it_is_being_stopped_is_stopped(jobs: Jobs, version: str) -> None:
    lease = runner.claim(jobs.backend)
    assert lease is not None
    call(jobs.backend, "StopSolutionVersionCreation", solutionVersionArn=version)
    assert jobs.backend.store.publish(lease, "ACTIVE", changes={"trainingHours": 1.0})
    described = call(jobs.backend, "DescribeSolutionVersion", solutionVersionArn=version)["solutionVersion"]
    assert described["status"] == "CREATE STOPPED"
    assert "trainingHours" not in described


def test_what_is_over_cannot_be_stopped(jobs: Jobs) -> None:
    with pytest.raises(Refused) as refused:
        call(jobs.backend, "StopSolutionVersionCreation", solutionVersionArn=jobs.arns.personalization)
    assert (refused.value.code, "ACTIVE" in refused.value.message) == ("ResourceInUseException", True)
