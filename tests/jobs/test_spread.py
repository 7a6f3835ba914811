"""One job by several processes: the same bytes as by one, whatever dies meanwhile."""

from __future__ import annotations

import dataclasses
import os
import secrets
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_personalize.local.backend import Backend, Settings
from airflow_provider_personalize.local.executors import LocalProcesses
from airflow_provider_personalize.local.work import crew
from airflow_provider_personalize.local.work.crew import Crew
from tests.backends import USERS, call, run_jobs
from tests.jobs.conftest import Jobs

Users = Callable[..., Path]
EXPLORING = {"itemExplorationConfig": {"explorationWeight": "0.5", "explorationItemAgeCutOff": "10000"}}
SEVERAL_LINES = b"".join(
    b"not JSON\n" if number % 97 == 5 else b"\n" if number % 89 == 3 else b'{"userId":"u%d"}\n' % (number % (USERS + 3))
    for number in range(1500)
)


def with_settings(jobs: Jobs, **settings: Any) -> Jobs:
    backend = jobs.backend
    return Jobs(Backend(backend.root, backend.store, dataclasses.replace(backend.settings, **settings)), jobs.arns)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "_LARGEST_SHARD", 2000)


def output(jobs: Jobs, source: Path, target: Path, **more: Any) -> bytes:
    job = jobs.infer(f"file://{source}", f"file://{target}/", filterArn=jobs.arns.seen_filter, **more)
    assert job["status"] == "ACTIVE", job
    assert sorted(os.listdir(target)) == ["_CHECK", "users.json.out"]
    return (target / "users.json.out").read_bytes()


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("shuffle", [0, 1], ids=["in order", "shuffled"])
def test_the_bytes_are_the_same_whatever_the_processes_and_threads(
    jobs: Jobs, users: Users, tmp_path: Path, shuffle: int
) -> None:
    source = users(lines=SEVERAL_LINES)
    outputs = {
        output(
            with_settings(jobs, processes=processes, threads=threads, shuffle_rows=shuffle),
            source,
            tmp_path / f"{processes}-{threads}",
            numResults=7,
            batchInferenceJobConfig=EXPLORING,
        )
        for processes, threads in ((1, 1), (1, 3), (2, 1), (2, 2))
    }
    assert len(outputs) == 1
    assert os.listdir(jobs.backend.root / "scratch") == []


def test_how_far_the_job_came_is_stored(jobs: Jobs, users: Users, tmp_path: Path) -> None:
    output(jobs, users(*(f"u{number}" for number in range(USERS))), tmp_path / "out")
    progress = jobs.backend.store.job_states(1)[0].progress
    assert (progress["done"], progress["total"], progress["unit"]) == (USERS, USERS, "rows")


def test_each_row_alone_gets_what_it_gets_among_others(jobs: Jobs, users: Users, tmp_path: Path) -> None:
    names = [f"u{number}" for number in range(12)]
    together = output(jobs, users(*names), tmp_path / "together", batchInferenceJobConfig=EXPLORING)
    alone = [output(jobs, users(name), tmp_path / name, batchInferenceJobConfig=EXPLORING) for name in names]
    assert b"".join(alone) == together


@pytest.mark.usefixtures("small_shards")
def test_segments_are_spread_too(jobs: Jobs, tmp_path: Path) -> None:
    source = tmp_path / "items.json"
    source.write_bytes(b"".join(b'{"itemId":"i%d"}\n' % (number % 40) for number in range(300)))
    written = []
    for processes in (1, 2):
        mine = with_settings(jobs, processes=processes)
        request = {
            "jobName": f"segments-{secrets.token_hex(4)}",
            "solutionVersionArn": jobs.arns.segmentation,
            "numResults": 9,
            "roleArn": "arn:aws:iam::123456789012:role/PersonalizeRole",
            "jobInput": {"s3DataSource": {"path": f"file://{source}"}},
            "jobOutput": {"s3DataDestination": {"path": f"file://{tmp_path}/{processes}/"}},
        }
        call(mine.backend, "CreateBatchSegmentJob", **request)
        run_jobs(mine.backend)
        written.append((tmp_path / str(processes) / "items.json.out").read_bytes())
    assert written[0] == written[1]
    assert written[0].count(b"\n") == 300


def test_a_fault_in_a_shard_is_the_jobs_failure_reason(jobs: Jobs, users: Users, tmp_path: Path) -> None:
    spread = with_settings(jobs, processes=2, batch_inference_rows=1000)
    job = spread.infer(f"file://{users(lines=SEVERAL_LINES)}", f"file://{tmp_path}/out/")
    assert (job["status"], "holds more than 1000 rows" in job["failureReason"]) == ("CREATE FAILED", True)
    assert not (tmp_path / "out").exists()


def test_a_scheduler_that_does_not_answer_is_named(
    jobs: Jobs, users: Users, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_personalize.local.executors._CONNECT_SECONDS", 0.5)
    spread = with_settings(jobs, executor="dask://127.0.0.1:9")
    job = spread.infer(f"file://{users('u1')}", f"file://{tmp_path}/out/")
    assert job["status"] == "CREATE FAILED"
    assert "No Dask scheduler answers at dask://127.0.0.1:9" in job["failureReason"]


def _die_once(mark: str) -> str:
    if not os.path.exists(mark):
        open(mark, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return mark


def _die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_process_did_is_done_again(tmp_path: Path) -> None:
    with LocalProcesses(2, threads=1) as processes:
        marks = [str(tmp_path / f"{number}") for number in range(2)]
        futures = [processes.submit(_die_once, mark) for mark in marks]
        assert [future.result(timeout=60) for future in futures] == marks


def test_what_kills_every_process_ends_with_an_error(tmp_path: Path) -> None:
    with LocalProcesses(1, threads=1) as processes, pytest.raises(OSError, match="died 3 times"):
        processes.submit(_die, 1).result(timeout=60)


@pytest.mark.parametrize(
    ("cores", "input_bytes", "settings", "made"),
    [
        (2, 1 << 30, {}, (1, 2)),
        (16, 1 << 30, {}, (4, 4)),
        (16, 20_000, {}, (1, 16)),
        (16, 1 << 30, {"processes": 2}, (2, 8)),
        (16, 1 << 30, {"processes": 2, "threads": 1}, (2, 1)),
    ],
)
def test_the_cores_and_the_input_decide_the_processes_and_threads(
    monkeypatch: pytest.MonkeyPatch, cores: int, input_bytes: int, settings: dict[str, int], made: tuple[int, int]
) -> None:
    monkeypatch.setattr(crew, "available_cores", lambda: cores)
    assert Crew.of(Settings(**settings), input_bytes) == Crew("", *made)
