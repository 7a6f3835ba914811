"""One job by the workers of a Dask cluster: a real scheduler and worker processes, one of which is killed midway."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from airflow_provider_personalize.local.work import crew
from airflow_provider_personalize.local.work.running import Running
from tests.jobs.conftest import Jobs
from tests.jobs.test_spread import EXPLORING, SEVERAL_LINES, output, with_settings

pytest.importorskip("distributed", reason="the extra [dask] is not installed")

Users = Callable[..., Path]


@dataclass(frozen=True)
class Cluster:
    url: str
    workers: list[subprocess.Popen[str]]


def _started(stack: ExitStack, command: list[str], ready: str) -> tuple[subprocess.Popen[str], str]:
    """A process that has said ``ready``, a pattern, and what its group matched."""
    process = stack.enter_context(
        subprocess.Popen([sys.executable, "-m", *command], stderr=subprocess.PIPE, text=True, env=os.environ)
    )
    stack.callback(process.kill)
    assert process.stderr
    said = []
    for line in process.stderr:
        said.append(line)
        if found := re.search(ready, line):
            return process, found.group(1)
    raise AssertionError("".join(said))


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A scheduler and two workers of one thread each."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    local = ["--no-dashboard", "--host", "127.0.0.1"]
    with ExitStack() as stack:
        scheduler = ["distributed.cli.dask_scheduler", "--port", "0", *local]
        _, address = _started(stack, scheduler, r"Scheduler at:\s+tcp://(\S+)")
        workers = []
        for number in range(2):
            folder = tmp_path / f"worker-{number}"
            worker = ["distributed.cli.dask_worker", f"tcp://{address}", "--nthreads", "1", "--no-nanny", *local]
            worker += ["--local-directory", str(folder)]
            workers.append(_started(stack, worker, r"(Registered to)")[0])
        yield Cluster(f"dask://{address}", workers)


def test_a_worker_killed_midway_loses_no_row_and_doubles_none(
    jobs: Jobs, users: Users, tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = users(lines=SEVERAL_LINES * 20)
    options = {"numResults": 7, "batchInferenceJobConfig": EXPLORING}
    whole = output(jobs, source, tmp_path / "whole", **options)
    monkeypatch.setattr(crew, "_LARGEST_SHARD", 2000)
    reports: list[int] = []
    report = Running.report

    def kill_when_a_third_is_done(running: Running, done: int, total: int | None, unit: str) -> None:
        report(running, done, total, unit)
        reports.append(done)
        if total and done > total / 3 and cluster.workers[0].poll() is None:
            cluster.workers[0].send_signal(signal.SIGKILL)
            cluster.workers[0].wait()

    monkeypatch.setattr(Running, "report", kill_when_a_third_is_done)
    spread = output(with_settings(jobs, executor=cluster.url), source, tmp_path / "spread", **options)

    assert cluster.workers[0].returncode == -signal.SIGKILL
    assert cluster.workers[1].poll() is None
    assert reports == sorted(reports)
    assert spread == whole
    assert os.listdir(jobs.backend.root / "scratch") == []
