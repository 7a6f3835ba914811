"""How far a running job is, wherever somebody looks, and how many threads it takes meanwhile."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.console import Console

from airflow_provider_personalize.local import cli, runner, wire
from airflow_provider_personalize.local.backend import Backend
from airflow_provider_personalize.local.scoring import topk
from airflow_provider_personalize.local.store import JobState
from airflow_provider_personalize.local.work import Running
from airflow_provider_personalize.service_model import PROGRESS_HEADER
from tests.backends import batch_request, call
from tests.jobs.conftest import Jobs
from tests.jobs.test_spread import SEVERAL_LINES, output, with_settings

PATIENCE = 60  # seconds until a test fails that nothing else would end


def _state(backend: Backend, arn: str) -> JobState:
    return next(state for state in backend.store.job_states() if state.arn == arn)


def _described(backend: Backend, arn: str) -> wire.Answer:
    target, body = "AmazonPersonalize.DescribeBatchInferenceJob", orjson.dumps({"batchInferenceJobArn": arn})
    return wire.handle(backend, target, body, region="us-east-1")


def _shown(states: list[JobState], *, colours: bool) -> str:
    console = Console(width=300, force_terminal=colours, color_system="truecolor" if colours else None)
    with console.capture() as capture:
        console.print(cli._table(states))
    return re.sub(r"\x1b\[[0-9;]*m", "", capture.get())


@contextmanager
def _said(text: str) -> Iterator[threading.Event]:
    """An event that is set as soon as the runner logs a line with this text."""
    seen = threading.Event()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if text in record.getMessage():
                seen.set()

    listener, level = Listener(), runner.log.level
    runner.log.addHandler(listener)
    runner.log.setLevel(logging.INFO)
    try:
        yield seen
    finally:
        runner.log.removeHandler(listener)
        runner.log.setLevel(level)


def test_a_running_job_says_in_its_log_on_the_terminal_and_to_whoever_describes_it_how_far_it_is(
    jobs: Jobs, users: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = jobs.backend
    request = batch_request(
        jobs.arns.personalization, "watched", f"file://{users('u1')}", f"file://{tmp_path}/out/", numResults=3
    )
    arn = call(backend, "CreateBatchInferenceJob", **request)["batchInferenceJobArn"]
    lease = runner.claim(backend)
    assert lease is not None
    assert lease.arn == arn
    monkeypatch.setattr(runner, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(runner.Pace, "due", lambda pace: True)
    now = iter([100.0, 110.0])
    seen: dict[str, Any] = {}

    with _said("300 of 1,200 rows (25%), 30 a second, 30 s left") as logged:

        def work(running: Running) -> dict[str, Any]:
            running.measured.clock = lambda: next(now)
            running.report(0, 1200, "rows")
            running.report(300, 1200, "rows")
            assert logged.wait(PATIENCE), "the log does not say how far the job is"
            seen["state"], seen["answer"] = _state(backend, arn), _described(backend, arn)
            return {}

        monkeypatch.setattr(runner, "work_of", lambda kind: work)
        assert runner.run(backend, lease)

    assert seen["state"].status == "CREATE IN_PROGRESS"
    stored = {name: seen["state"].progress[name] for name in ("done", "total", "unit", "per_second", "seconds_left")}
    assert stored == {"done": 300, "total": 1200, "unit": "rows", "per_second": 30.0, "seconds_left": 30.0}
    for colours in (True, False):
        assert "300 of 1,200 rows (25%), 30 a second, 30 s left" in _shown([seen["state"]], colours=colours)
    assert seen["answer"].headers[PROGRESS_HEADER] == "300 of 1,200 rows (25%), 30 a second, 30 s left"
    assert PROGRESS_HEADER not in _described(backend, arn).headers


def test_a_job_scores_with_no_more_threads_than_it_was_given(
    jobs: Jobs, users: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topk, "available_cores", lambda: 8)
    lock, scan = threading.Lock(), topk._scan
    at_once, most, asked = 0, 0, set()

    def counting(*arguments: Any) -> None:
        nonlocal at_once, most
        with lock:
            asked.add(arguments[-1])
            at_once += arguments[-1]
            most = max(most, at_once)
        try:
            scan(*arguments)
        finally:
            with lock:
                at_once -= arguments[-1]

    monkeypatch.setattr(topk, "_scan", counting)
    output(with_settings(jobs, processes=1, threads=2), users(lines=SEVERAL_LINES * 20), tmp_path / "out")
    assert asked == {1}
    assert 1 <= most <= 2
