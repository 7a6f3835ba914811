"""Takes a pending job, runs it in a process of its own, publishes its outcome.

A job outlives whoever created it: its runner is started by exec in a new session, inherits no pipe and never imports
Airflow. Who runs a job holds its lease and says so again every two seconds, at least three times in a lease. A runner
that dies leaves a lease that runs out (or is given back at once by a parent that sees it die), and the job is taken
again, a bounded number of times. A job that is asked to stop has its runner end within seconds, and is not taken again.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from airflow_provider_personalize.local.backend import STORE_VARIABLE, Backend, open_backend
from airflow_provider_personalize.local.layout import runner_log
from airflow_provider_personalize.local.progress import Pace, told
from airflow_provider_personalize.local.store import ACTIVE, FAILED, STOPPED, Lease
from airflow_provider_personalize.local.work import JobFailed, LeaseLost, Running, work_of

# A heartbeat also tells a runner that its job was asked to stop, so it comes at least so often.
HEARTBEAT_SECONDS = 2.0
# Not -m: every process that the job starts would import this module again, and the store with it.
_COMMAND = (
    sys.executable,
    "-c",
    "import sys; from airflow_provider_personalize.local.runner import main; sys.exit(main())",
)

log = logging.getLogger(__name__)


def claim(backend: Backend, *, at_most: int | None = None) -> Lease | None:
    """The next job to run, if any; none while ``at_most`` jobs of the store run already.

    A job whose runners died too often is failed here instead, and one that was asked to stop is stopped.
    """
    settings = backend.settings
    while True:
        owner = f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"
        lease = backend.store.claim(owner, lease_seconds=settings.lease_seconds, at_most=at_most)
        if lease is None:
            return None
        if backend.store.asked_to_stop(lease):
            backend.store.publish(lease, STOPPED)
            continue
        if lease.attempt <= settings.attempts:
            return lease
        reason = (
            f"The job's runner died {settings.attempts} times without an answer. "
            f"What it printed is in {runner_log(backend.root, lease.arn)}."
        )
        backend.store.publish(lease, FAILED, failure_reason=reason)


def start_waiting(backend: Backend, environment: Mapping[str, str]) -> None:
    """Start a runner for each waiting job, up to the backend's limit, and return at once."""
    # Looked at first: every call through the in-process transport comes by, and the limit takes a while to find out.
    while backend.store.job_waits() and (lease := claim(backend, at_most=backend.settings.runner_limit)):
        process = start(backend, lease, environment)
        # Reaps the process, and gives its job back when it died: faster than waiting for the lease to run out.
        threading.Thread(target=see_off, args=(backend, lease, process), daemon=True).start()


def start(backend: Backend, lease: Lease, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """The process that runs this lease's job. Secrets (store URL, S3 keys) travel in its environment only."""
    log_path = runner_log(backend.root, lease.arn)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    command = [*_COMMAND, str(backend.root), lease.arn, lease.kind, lease.owner, str(lease.attempt), str(lease.seconds)]
    with log_path.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, **environment, STORE_VARIABLE: backend.store.url},
        )


def see_off(backend: Backend, lease: Lease, process: subprocess.Popen[bytes]) -> None:
    """Wait until a runner has ended; where it left its job unfinished, let another take it."""
    process.wait()
    with suppress(Exception):  # the store may be gone by now, at an interpreter's end; then the lease runs out instead
        if backend.store.give_back(lease):
            log.warning("The runner of %s ended with status %s before its job did.", lease.arn, process.returncode)


def run(backend: Backend, lease: Lease) -> bool:
    """Do the work of one job and publish its outcome; ``False`` when the lease was lost and nothing was published."""
    with _heartbeat(backend, lease) as running:
        started = time.monotonic()
        log.info("%s: attempt %d", lease.arn, lease.attempt)
        reason: str | None = None
        try:
            changes = work_of(lease.kind)(running)
        except LeaseLost:
            return False
        except JobFailed as failure:
            status, reason, changes = FAILED, str(failure), {}
        except OSError as error:  # full disk, unreachable bucket, lost file
            status, reason, changes = FAILED, str(error), {}
            log.exception("%s failed", lease.arn)
        except Exception as error:
            status, reason, changes = (
                FAILED,
                f"Internal error of the local backend: {type(error).__name__}: {error}",
                {},
            )
            log.exception("%s failed", lease.arn)
        else:
            status = ACTIVE
        published = backend.store.publish(lease, status, failure_reason=reason, changes=changes)
    log.info("%s: %s after %.1f s%s", lease.arn, status, time.monotonic() - started, f": {reason}" if reason else "")
    return published


@contextmanager
def _heartbeat(backend: Backend, lease: Lease) -> Iterator[Running]:
    """Keep the lease alive while the work goes on.

    A runner that lost it ends itself, since another has its job; so does one whose job was asked to stop.
    """
    running = Running(backend, lease)
    over = threading.Event()
    pace = Pace()

    def beat() -> None:
        while not over.wait(min(lease.seconds / 3, HEARTBEAT_SECONDS)):
            try:
                held = backend.store.heartbeat(lease, running.progress)
                if backend.store.asked_to_stop(lease) and backend.store.publish(lease, STOPPED):
                    log.info("%s: stopped", lease.arn)
                    os._exit(0)
            except Exception:  # a store that is away for a moment; the lease allows for two missed beats at least
                log.exception("heartbeat failed")
                continue
            if pace.due() and (progress := told(running.progress)):
                log.info("%s: %s", lease.arn, progress)
            if not held and not over.is_set():
                log.error("%s: the lease was lost", lease.arn)
                os._exit(75)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        over.set()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="personalize-local-runner", description="Runs one leased job.")
    parser.add_argument("root", type=Path)
    parser.add_argument("arn")
    parser.add_argument("kind")
    parser.add_argument("owner")
    parser.add_argument("attempt", type=int)
    parser.add_argument("seconds", type=float)
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    backend = open_backend(given.root, os.environ.get(STORE_VARIABLE))
    lease = Lease(given.arn, given.kind, given.owner, given.attempt, given.seconds)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        # Asked to stop, not failed: the next runner starts afresh and this attempt is not held against the job.
        try:
            backend.store.give_back(lease, count_attempt=False)
        finally:
            os._exit(143)

    signal.signal(signal.SIGTERM, stop)
    if not backend.store.heartbeat(lease):
        log.error("%s: the lease was lost before the runner started", lease.arn)
        return 75
    gc.freeze()  # to look through all that was imported, again and again while rows are read, would stop every thread
    return 0 if run(backend, lease) else 75


class Workers:
    """A pool that runs ``count`` jobs at a time, each in a process of its own, until it is stopped."""

    def __init__(self, backend: Backend, count: int, *, poll_seconds: float = 1.0) -> None:
        self._backend = backend
        self._count = count
        self._poll_seconds = poll_seconds
        self._wake = threading.Event()
        self._stopping = False
        self._running: dict[subprocess.Popen[bytes], Lease] = {}
        self._thread = threading.Thread(target=self._work, name="personalize-workers")

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Look for a job now rather than at the next poll."""
        self._wake.set()

    def stop(self) -> None:
        """End the running jobs, which then wait for the next worker, take no more, and return when all have ended."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                while not self._stopping and len(self._running) < self._count and (lease := claim(self._backend)):
                    process = start(self._backend, lease, {})
                    self._running[process] = lease
                    threading.Thread(target=self._see_off, args=(process, lease), daemon=True).start()
            except Exception:  # a store that is away for a moment must not end the workers
                log.exception("The store did not answer; trying again")
            self._wake.wait(self._poll_seconds)
        for process in list(self._running):
            process.send_signal(signal.SIGTERM)
        for process in list(self._running):
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:  # deep in compiled code; its lease is given back as it is seen off
                process.kill()
                process.wait()

    def _see_off(self, process: subprocess.Popen[bytes], lease: Lease) -> None:
        see_off(self._backend, lease, process)
        self._running.pop(process, None)
        self._wake.set()


if __name__ == "__main__":
    sys.exit(main())
