"""Where the shards of a job are answered: local processes or a Dask cluster, each behind ``concurrent.futures``."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

DASK = "dask://"
_CONNECT_SECONDS = 30
_ATTEMPTS = 3  # of a call while processes die, be it its own or another: a pool does not tell which


class ExecutorError(OSError):
    """An executor that cannot be reached or lost its workers; the text says which, and what to look at."""


def in_order(executor: Executor, work: Callable[[T], R], items: Iterable[T], ahead: int) -> Iterator[R]:
    """``work(item)`` for each item, in the order of the items, with at most ``ahead`` taken before they are needed."""
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            if len(waiting) == ahead:
                yield waiting.popleft().result()
            waiting.append(executor.submit(work, item))
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


class LocalProcesses(Executor):
    """Processes of this machine, started anew (no fork: there are threads). What a dead one did is done
    again.

    Each imports what it is sent, keeps to ``threads`` threads, and ends when the process that made it does.
    """

    def __init__(self, count: int, threads: int) -> None:
        self._count, self._threads = count, threads
        self._lock = threading.Lock()
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._count, context, initializer=_settle, initargs=(self._threads,))

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        asked: Future[R] = Future()
        self._call(asked, lambda pool: pool.submit(fn, *args, **kwargs), _ATTEMPTS)
        return asked

    def _call(self, asked: Future[R], call: Callable[[ProcessPoolExecutor], Future[R]], attempts: int) -> None:
        with self._lock:
            pool = self._pool
            try:
                answer = call(pool)
            except BrokenExecutor:  # since another call's process died
                pool = self._pool = self._start()
                answer = call(pool)

        def pass_on(answer: Future[R]) -> None:
            if asked.cancelled() or answer.cancelled():
                asked.cancel()
            elif (error := answer.exception()) is None:
                asked.set_result(answer.result())
            elif isinstance(error, BrokenExecutor) and attempts > 1:
                self._renew(pool)
                self._call(asked, call, attempts - 1)
            elif isinstance(error, BrokenExecutor):
                asked.set_exception(ExecutorError(f"Processes of the job died {_ATTEMPTS} times: {error}"))
            else:
                asked.set_exception(error)

        answer.add_done_callback(pass_on)

    def _renew(self, broken: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._pool is broken:
                self._pool = self._start()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


def _settle(threads: int) -> None:
    """In a new process, before it imports a numeric library."""
    os.environ |= {"POLARS_MAX_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    parent = multiprocessing.parent_process()
    assert parent

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


@contextmanager
def shard_executor(url: str, processes: int, threads: int) -> Iterator[Executor]:
    """An executor whose calls run in other processes.

    Args:
        url: ``dask://host:port`` for the workers of that scheduler; empty for ``processes`` local ones.
        threads: of each local process.

    Raises:
        ExecutorError: the scheduler cannot be reached or has no workers, or Dask is not installed.
    """
    if not url.startswith(DASK):
        local = LocalProcesses(processes, threads)
        try:
            yield local
        finally:
            local.shutdown(cancel_futures=True)
        return
    try:
        from distributed import Client
    except ImportError:
        raise ExecutorError(
            f"{url}: Dask is not installed; install airflow-provider-personalize[local,dask]."
        ) from None
    address = "tcp://" + url.removeprefix(DASK)
    try:
        client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except OSError as error:  # a timeout is one
        raise ExecutorError(f"No Dask scheduler answers at {url}: {error}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
        except TimeoutError:
            raise ExecutorError(f"The Dask scheduler at {url} has no workers.") from None
        with client.get_executor(pure=False) as executor:
            yield executor
