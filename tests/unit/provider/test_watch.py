"""What is said while a job is watched."""

from __future__ import annotations

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
