"""The store under many hands: threads, processes, pages."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_personalize.local.store import (
    ACTIVE,
    AlreadyExists,
    Quota,
    QuotaReached,
    Resource,
    Store,
    metadata,
)

ARN = "arn:aws:personalize:us-east-1:000000000000:"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.in_directory(tmp_path)
    store.create_tables()
    return store


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest) -> Store:
    """An empty store of each kind."""
    store: Store
    if request.param == "sqlite":
        store = request.getfixturevalue("store")
        return store
    # The database is the whole test run's, so others may have left rows.
    store = Store(request.getfixturevalue("postgresql"))
    store.create_tables()
    with store._write() as connection:
        for table in metadata.sorted_tables:
            connection.execute(table.delete())
    return store


def job(name: str, region: str = "us-east-1") -> Resource:
    arn = f"arn:aws:personalize:{region}:000000000000:batch-inference-job/{name}"
    return Resource(arn, "batch-inference-job", {"jobName": name})


def admitted(store: Store, given: Sequence[Resource], quota: Quota, *, job: bool = False) -> int:
    """How many of some resources that are created at one moment there is room for."""
    start = threading.Barrier(len(given))

    def create(resource: Resource) -> bool:
        start.wait()
        try:
            store.insert(resource, job=job, quota=quota)
        except QuotaReached:
            return False
        return True

    with ThreadPoolExecutor(len(given)) as threads:
        return sum(threads.map(create, given))


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


def test_of_many_jobs_created_at_once_no_more_are_taken_than_the_quota(either: Store) -> None:
    given = [job(f"j{number}") for number in range(12)]
    assert admitted(either, given, Quota(5, unfinished=True), job=True) == 5
    assert len(either.unfinished("batch-inference-job")) == 5
    assert len(either.page("batch-inference-job", region="us-east-1")) == 5


def test_of_many_resources_created_at_once_no_more_are_taken_than_the_quota(either: Store) -> None:
    given = [Resource(f"{ARN}filter/{number}", "filter", {}, parent="group") for number in range(12)]
    assert admitted(either, given, Quota(3, within="group")) == 3
    either.insert(Resource(f"{ARN}filter/x", "filter", {}, parent="other"), quota=Quota(1, within="other"))


def test_a_quota_counts_through_the_resources_between(either: Store) -> None:
    for solution in ("a", "b"):
        either.insert(Resource(f"{ARN}solution/{solution}", "solution", {}, parent="group"))
    quota = Quota(2, within="group", through="solution")
    given = [
        Resource(f"{ARN}campaign/{number}", "campaign", {}, parent=f"{ARN}solution/{'ab'[number % 2]}")
        for number in range(8)
    ]
    assert admitted(either, given, quota) == 2


def test_finished_jobs_and_those_of_other_regions_do_not_count(either: Store) -> None:
    quota = Quota(1, unfinished=True)
    either.insert(job("a"), job=True, quota=quota)
    either.insert(job("a", "eu-west-1"), job=True, quota=quota)
    for _ in range(2):
        lease = either.claim("me", lease_seconds=60)
        assert lease
        assert either.publish(lease, ACTIVE)
    either.insert(job("b"), job=True, quota=quota)
    with pytest.raises(QuotaReached):
        either.insert(job("c"), job=True, quota=quota)


def test_a_name_that_exists_is_said_to_exist_when_the_quota_is_reached_too(either: Store) -> None:
    """So that whoever creates a job again, after a retry, finds the one that runs."""
    quota = Quota(1, unfinished=True)
    either.insert(job("a"), job=True, quota=quota)
    with pytest.raises(AlreadyExists):
        either.insert(job("a"), job=True, quota=quota)


def test_the_revision_of_records_never_comes_back(either: Store) -> None:
    """Not when as many are put as were deleted, nor when the dataset is deleted and made again."""
    seen = [either.revision("dataset")]
    either.insert(Resource("dataset", "dataset", {}))
    for change in (
        lambda: either.put("dataset", [("u1", {}), ("u2", {})]),
        lambda: either.delete_records("dataset", ["u2"]),
        lambda: either.put("dataset", [("u2", {})]),
        lambda: either.delete("dataset"),
        lambda: either.put("dataset", [("u1", {}), ("u2", {})]),
    ):
        change()
        seen.append(either.revision("dataset"))
    assert len(set(seen)) == len(seen)
    either.delete_records("dataset", ["nobody"])
    assert either.revision("dataset") == seen[-1]
    assert either.revision("another") == 0


def test_every_put_of_many_at_once_makes_a_revision(either: Store) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: either.put("dataset", [(None, {"n": number})]), range(40)))
    assert either.revision("dataset") == 40
    assert len(either.records_of("dataset")) == 40


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
    with store._write(), ThreadPoolExecutor(1) as thread:
        assert thread.submit(store.get, f"{ARN}batch-inference-job/a").result(timeout=5)


def test_pages_hold_what_was_there_when_the_listing_began_once(store: Store) -> None:
    for number in range(5):
        store.insert(job(f"j{number}"))
    first = store.page("batch-inference-job", region="us-east-1", limit=2)
    store.insert(job("new"))
    rest = store.page("batch-inference-job", region="us-east-1", before=first[-1].seq)
    assert [r.document["jobName"] for r in first + rest] == ["j4", "j3", "j2", "j1", "j0"]


def test_a_region_does_not_see_anothers(either: Store) -> None:
    either.insert(job("a"))
    either.insert(job("b", "eu-west-1"))
    for region, name in (("us-east-1", "a"), ("eu-west-1", "b")):
        (found,) = either.page("batch-inference-job", region=region)
        assert found.document["jobName"] == name
    assert either.page("batch-inference-job", region="us-east-2") == []


@pytest.mark.parametrize("parent", [None, f"{ARN}solution/s/v"])
@pytest.mark.parametrize("before", [None, 1000])
def test_a_page_is_found_and_ordered_by_an_index(store: Store, parent: str | None, before: int | None) -> None:
    asked: list[tuple[str, Any]] = []
    sa.event.listen(
        store._db, "before_cursor_execute", lambda _c, _k, statement, given, *_: asked.append((statement, given))
    )
    store.page("batch-inference-job", region="us-east-1", parent=parent, before=before)
    ((statement, given),) = asked
    with store._read() as connection:
        plan = [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)]
    used = "<expr>=? AND kind=?" if parent is None else "kind=? AND parent=?"
    assert len(plan) == 1  # so nothing is sorted
    assert plan[0].startswith("SEARCH resources USING INDEX")
    assert used + (" AND seq<?" if before else "") in plan[0]


def test_a_store_that_stays_connected_sees_what_other_processes_write(store: Store) -> None:
    code = "import sys; from airflow_provider_personalize.local.store import Resource, Store;"
    code += "Store(sys.argv[1]).insert(Resource(sys.argv[2], 'batch-inference-job', {}))"
    for name in ("a", "b"):
        arn = f"{ARN}batch-inference-job/{name}"
        assert store.get(arn) is None
        subprocess.run([sys.executable, "-c", code, store.url, arn], check=True)
        assert store.get(arn)


def test_no_connection_crosses_a_fork(store: Store) -> None:
    def connected(pid: int) -> bool:
        """Whether a process holds the store's file open."""
        database = store.url.removeprefix("sqlite:///")
        return any(os.path.realpath(link) == database for link in Path(f"/proc/{pid}/fd").iterdir())

    store.insert(job("a"))
    assert connected(os.getpid())
    child = os.fork()
    if child == 0:
        os._exit(int(connected(os.getpid())))
    assert os.waitpid(child, 0)[1] == 0
    assert store.get(f"{ARN}batch-inference-job/a")


def test_a_child_reads_while_a_thread_of_its_parent_was_reading_at_the_fork(store: Store) -> None:
    store.insert(job("a"))
    begun, over = threading.Event(), threading.Event()

    def read() -> None:
        with store._read() as connection:
            connection.execute(sa.text("SELECT 1"))
            begun.set()
            over.wait(20)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(read)
        assert begun.wait(20)
        child = os.fork()
        if child == 0:
            os._exit(int(store.get(f"{ARN}batch-inference-job/a") is None))
        assert os.waitpid(child, 0)[1] == 0
        over.set()
    store.insert(job("b"))
    assert store.get(f"{ARN}batch-inference-job/b")


def test_a_directory_that_was_made_again_is_not_answered_from_the_old_one(store: Store) -> None:
    store.insert(job("a"))
    assert store.get(f"{ARN}batch-inference-job/a")
    for file in Path(store.url.removeprefix("sqlite:///")).parent.glob("store.sqlite*"):
        file.rename(file.with_name(f"former-{file.name}"))
    store.create_tables()
    assert store.get(f"{ARN}batch-inference-job/a") is None
