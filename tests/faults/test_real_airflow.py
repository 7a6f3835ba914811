"""A whole Airflow (scheduler, LocalExecutor, triggerer, API server) whose workers are killed with SIGKILL."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults import line
from tests.faults.served import CONNECTION, RESOURCES, Served, operation

DAG = """
import datetime, json, os
from airflow.sdk import DAG
from tests.faults.served import build_operator

with DAG("struck", schedule="@once", start_date=datetime.datetime(2026, 1, 1), is_paused_upon_creation=False):
    arns = json.loads(os.environ["FAULTS_ARNS"])
    for kind, deferrable in (("inference", False), ("segment", True)):
        build_operator(
            kind, arns, task_id=kind, deferrable=deferrable, retries=9, retry_delay=datetime.timedelta(seconds=0)
        )
"""
LONGEST = 300


@dataclass
class Airflow:
    process: subprocess.Popen[bytes]
    home: Path

    def kill_worker_that_calls_from(self, port: int, task_id: str) -> None:
        """Kill the process whose call comes from ``port``, and the one that looks after it.

        The scheduler takes a task for lost when its worker has not said for long that it is there. What was said last
        is moved into the past, so that nobody has to wait, and a machine that is merely slow loses no worker.
        """
        [worker] = [
            process
            for process in psutil.Process(self.process.pid).children(recursive=True)
            if any(each.laddr.port == port for each in connections(process))
        ]
        struck = [psutil.Process(worker.ppid()), worker]
        for process in struck:
            process.kill()
        while any(is_alive(process) for process in struck):
            time.sleep(0.01)
        with contextlib.closing(sqlite3.connect(self.database, timeout=60)) as database, database:
            database.execute(
                "UPDATE task_instance SET last_heartbeat_at = '2026-01-01 00:00:00' WHERE task_id = ?", [task_id]
            )

    @property
    def database(self) -> Path:
        return self.home / "airflow.db"

    def states(self) -> dict[str, tuple[str, int]]:
        """State and number of attempts of each task."""
        if not self.database.exists():
            return {}
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=60)) as database:
            try:
                found = database.execute("SELECT task_id, state, try_number FROM task_instance").fetchall()
            except sqlite3.OperationalError:  # the tables are being made
                return {}
        return {task_id: (state, tries) for task_id, state, tries in found}

    def states_at_the_end(self) -> dict[str, tuple[str, int]]:
        """States and attempts, once no task will change its own any more."""
        begin = time.monotonic()
        while True:
            states = self.states()
            if states and {state for state, _ in states.values()} <= {"success", "failed", "upstream_failed"}:
                return states
            assert time.monotonic() < begin + LONGEST, (states, (self.home / "airflow.log").read_text()[-5000:])
            time.sleep(0.2)


def connections(process: psutil.Process) -> list[Any]:
    try:
        return process.net_connections("tcp")
    except psutil.Error:  # it has ended meanwhile
        return []


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def airflow(served: Served, tmp_path: Path, repository: Path) -> Iterator[Airflow]:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "struck.py").write_text(DAG)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variable = f"AIRFLOW_CONN_{CONNECTION.upper()}"
    found = json.loads(os.environ[variable])
    found["extra"]["service_config"]["personalize"]["waiter_delay"] = 0.5
    bundle = {
        "name": "dags-folder",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(tmp_path / "dags")},
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")} | {
        variable: json.dumps(found),
        "FAULTS_ARNS": json.dumps(served.arns),
        "PYTHONPATH": str(repository),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": "only-for-the-tests-" * 4,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        # For a heartbeat that was under way when its worker was killed.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "1",
    }
    log = tmp_path / "airflow.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["airflow", "standalone"], env=environment, stdout=output, stderr=output, start_new_session=True
        )
    yield Airflow(process, tmp_path)
    # A component whose worker was killed does not always end when it is asked to, and nothing is left to be saved.
    for each in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    process.kill()
    process.wait()


@pytest.mark.slow
def test_workers_that_are_killed_between_create_and_wait_are_retried_and_start_no_second_job(
    served: Served, airflow: Airflow
) -> None:
    kinds = ("inference", "segment")
    for kind in kinds:
        strike = line.after(lambda kind=kind: airflow.kill_worker_that_calls_from(line.caller.get(), kind))
        served.line.script[operation("Create", RESOURCES[kind])] = [strike]
    states = airflow.states_at_the_end()
    # Airflow adds an attempt of its own when it hears of a deferral after the task has resumed.
    assert {kind: (state, tries >= 2) for kind, (state, tries) in states.items()} == dict.fromkeys(
        kinds, ("success", True)
    )
    assert list(served.jobs().values()) == ["ACTIVE", "ACTIVE"]
