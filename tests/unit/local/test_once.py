"""What several threads need is made once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from airflow_provider_personalize.local.once import once


class Made:
    def __init__(self) -> None:
        self.times = 0
        self.entered, self.go_on = Event(), Event()

    @once
    def costly(self) -> object:
        """Of some size."""
        self.times += 1
        self.entered.set()
        assert self.go_on.wait(10)
        return object()

    @once
    def failing_once(self) -> int:
        self.times += 1
        if self.times == 1:
            raise ValueError("not yet")
        return self.times

    @once
    def of_another(self) -> int:
        return self.failing_once + 1


def test_threads_that_ask_at_once_get_the_same_and_it_is_made_by_one() -> None:
    made, start = Made(), Barrier(4)

    def asked() -> object:
        start.wait(10)
        return made.costly

    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(asked) for _ in range(4)]
        assert made.entered.wait(10)
        made.go_on.set()
        assert len({id(answer.result(10)) for answer in answers}) == 1
    assert made.times == 1


def test_each_instance_has_its_own() -> None:
    one, other = Made(), Made()
    one.go_on.set()
    other.go_on.set()
    assert one.costly is one.costly
    assert one.costly is not other.costly


def test_a_failure_is_not_kept_and_one_may_be_made_of_another() -> None:
    made = Made()
    with pytest.raises(ValueError, match="not yet"):
        made.of_another  # noqa: B018
    assert (made.of_another, made.times) == (3, 2)
