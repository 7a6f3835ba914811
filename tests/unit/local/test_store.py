"""The store under many hands: threads, processes, pages."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from airflow_provider_personalize.local.store import ACTIVE, AlreadyExists, Resource, Store

ARN = "arn:aws:personalize:us-east-1:000000000000:"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.in_directory(tmp_path)
    store.create_tables()
    return store


def job(name: str) -> Resource:
    return Resource(f"{ARN}batch-inference-job/{name}", "batch-inference-job", {"jobName": name})


def test_of_many_that_create_one_name_one_succeeds(store: Store) -> None:
    start = threading.Barrier(8)

    def create(_: int) -> bool:
        start.wait()
        try:
            store.insert(job("same"), job=True)
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(create, range(8))) == 1
    assert len(store.job_states()) == 1


def test_each_job_is_claimed_once_however_many_claim(store: Store) -> None:
    for number in range(20):
        store.insert(job(f"j{number}"), job=True)

    def claim_all(owner: int) -> list[str]:
        mine = []
        while lease := store.claim(str(owner), lease_seconds=60):
            mine.append(lease.arn)
        return mine

    with ThreadPoolExecutor(6) as threads:
        claimed = [arn for arns in threads.map(claim_all, range(6)) for arn in arns]
    assert sorted(claimed) == sorted(f"{ARN}batch-inference-job/j{number}" for number in range(20))


def test_no_more_jobs_are_claimed_than_may_run(store: Store) -> None:
    for number in range(3):
        store.insert(job(f"j{number}"), job=True)
    first = store.claim("a", lease_seconds=60, at_most=2)
    assert first
    assert store.claim("b", lease_seconds=60, at_most=2)
    assert store.claim("c", lease_seconds=60, at_most=2) is None
    assert store.publish(first, ACTIVE)
    assert store.claim("c", lease_seconds=60, at_most=2)


def _read_in_child(store: Store, arn: str, found: multiprocessing.Queue[bool]) -> None:
    found.put(store.get(arn) is not None)


def test_a_forked_child_shares_no_connection(store: Store) -> None:
    """Airflow forks its task processes; a SQLite connection that crosses a fork corrupts the file."""
    store.insert(job("a"))
    context = multiprocessing.get_context("fork")
    found: multiprocessing.Queue[bool] = context.Queue()
    child = context.Process(target=_read_in_child, args=(store, f"{ARN}batch-inference-job/a", found))
    child.start()
    assert found.get(timeout=20)
    child.join()
    assert store.get(f"{ARN}batch-inference-job/a") is not None


def test_reading_does_not_wait_for_a_writer(store: Store) -> None:
    store.insert(job("a"))
    with store._db.begin(), ThreadPoolExecutor(1) as thread:
        assert thread.submit(store.get, f"{ARN}batch-inference-job/a").result(timeout=5)


def test_pages_hold_what_was_there_when_the_listing_began_once(store: Store) -> None:
    for number in range(5):
        store.insert(job(f"j{number}"))
    first = store.page("batch-inference-job", region="us-east-1", limit=2)
    store.insert(job("new"))
    rest = store.page("batch-inference-job", region="us-east-1", before=first[-1].seq)
    assert [r.document["jobName"] for r in first + rest] == ["j4", "j3", "j2", "j1", "j0"]


def test_a_region_does_not_see_anothers(store: Store) -> None:
    store.insert(job("a"))
    assert store.page("batch-inference-job", region="eu-west-1") == []
