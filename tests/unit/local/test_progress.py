"""Progress: what is stored of a job, and what a person reads."""

from __future__ import annotations

import pytest

from airflow_provider_personalize.local.progress import Pace, Progress, told


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_rate_is_of_the_time_since_the_first_report(clock: Clock) -> None:
    progress = Progress(clock)
    clock.now += 50
    progress.report(1_000, 11_000, "rows")
    assert progress.stored == {"done": 1_000, "total": 11_000, "unit": "rows", "seconds": 50.0}
    clock.now += 10
    progress.report(3_000, 11_000, "rows")
    assert progress.stored["per_second"] == 200
    assert progress.stored["seconds_left"] == 40
    assert told(progress.stored) == "3,000 of 11,000 rows (27%), 200 a second, 40 s left"


def test_without_a_total_there_is_no_time_left(clock: Clock) -> None:
    progress = Progress(clock)
    progress.report(0, None, "rows")
    clock.now += 4
    progress.report(2, None, "epochs")
    assert told(progress.stored) == "2 epochs, 0.5 a second"


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        ({}, ""),
        ({"done": 7, "total": 7, "unit": "rows"}, "7 of 7 rows (100%)"),
        ({"done": 9, "total": None, "unit": "rows", "per_second": 1e6}, "9 rows, 1,000,000 a second"),
        ({"done": 1, "total": 9, "unit": "x", "seconds_left": 300.0}, "1 of 9 x (11%), 5 min left"),
        ({"done": 1, "total": 9, "unit": "x", "seconds_left": 9000.0}, "1 of 9 x (11%), 2.5 h left"),
    ],
)
def test_what_is_known_is_told(progress: dict[str, object], text: str) -> None:
    assert told(progress) == text


def test_a_log_hears_after_ten_seconds_and_then_every_minute(clock: Clock) -> None:
    pace = Pace(clock)
    heard = []
    for _ in range(200):
        clock.now += 1
        if pace.due():
            heard.append(clock.now - 100)
    assert heard == [10, 70, 130, 190]
