"""What is said while a job is watched."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_personalize.hooks import waiting
from airflow_provider_personalize.hooks.resources import BATCH_INFERENCE_JOB
from airflow_provider_personalize.hooks.waiting import Watch
from airflow_provider_personalize.service_model import PROGRESS_HEADER

ARN = "arn:aws:personalize:us-east-1:123456789012:batch-inference-job/job"


class Lines(list[str]):
    def info(self, text: str, *arguments: object) -> None:
        self.append(text % arguments)

    warning = info


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """One number, which is what time it is."""
    clock = [1_000_000.0]
    monkeypatch.setattr(waiting.time, "time", lambda: clock[0])
    return clock


def said(now: list[float], seconds: int, progress: str | None) -> list[str]:
    """The log of a job that is polled every second, and is in progress all the time."""
    lines = Lines()
    watch = Watch(BATCH_INFERENCE_JOB, ARN, now[0] + 10_000, 1, lines)
    headers = {} if progress is None else {PROGRESS_HEADER: progress}
    answer = {
        "batchInferenceJob": {"batchInferenceJobArn": ARN, "status": "CREATE IN_PROGRESS"},
        "ResponseMetadata": {"HTTPHeaders": headers},
    }
    for _ in range(seconds):
        assert not watch.has_ended(answer)
        now[0] += 1
    return lines


def test_a_backend_that_tells_how_far_its_job_is_is_quoted_every_minute(now: list[float]) -> None:
    lines = said(now, 180, "300 of 1,200 rows (25%), 30 a second, 30 s left")
    assert len(lines) == 3
    assert all(line.endswith("CREATE IN_PROGRESS: 300 of 1,200 rows (25%), 30 a second, 30 s left") for line in lines)


def test_a_service_that_does_not_is_quoted_every_ten_minutes(now: list[float]) -> None:
    lines = said(now, 1800, None)
    assert len(lines) == 3
    assert all(line.endswith("CREATE IN_PROGRESS") for line in lines)


def test_how_long_a_job_took_is_sent_once_when_it_has_become_active(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, timedelta]] = []
    monkeypatch.setattr(waiting.Stats, "timing", lambda *metric: sent.append(metric))
    watch, created = Watch(BATCH_INFERENCE_JOB, ARN, 2e9, 1, Lines()), datetime(2026, 1, 1, tzinfo=UTC)
    dates = {"creationDateTime": created, "lastUpdatedDateTime": created + timedelta(minutes=27)}
    for status in ("CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE"):
        watch.has_ended({"batchInferenceJob": {"batchInferenceJobArn": ARN, "status": status, **dates}})
    assert sent == [("personalize.batch_inference_job.duration", timedelta(minutes=27))]
