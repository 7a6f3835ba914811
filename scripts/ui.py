"""Airflow's own UI on this machine, with the DAGs, a local backend and sample data, all under ``build/ui/``.

Nothing runs before you trigger it: the DAGs start paused. Ctrl-C stops everything.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from rich.console import Console
from sandbox import PROJECT, Sandbox, UnusableDataError

COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
PATIENCE_SECONDS = 180
PATIENCE_AT_THE_END_SECONDS = 10


def main() -> int:
    parser = argparse.ArgumentParser(description="Start Airflow with the DAGs, a local backend and sample data.")
    parser.add_argument("--data", type=Path, help="a MovieLens folder (ratings.csv, movies.csv) instead of sample data")
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args()
    console = Console(highlight=False)
    sandbox = Sandbox(PROJECT / "build" / "ui", options.data)
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", options.port)) == 0:
            console.print(f"Port {options.port} is taken. Choose another: make ui ARGS='--port 8090'")
            return 1
    try:
        with console.status(f"Preparing the data set {sandbox.group}"):
            sandbox.prepare()
    except UnusableDataError as error:
        console.print(str(error))
        return 1

    log = sandbox.logs / "airflow.log"
    address = f"http://127.0.0.1:{options.port}"
    # Nobody has to log in, so nobody but this machine may connect.
    environment = sandbox.environment() | {
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(options.port),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with log.open("wb") as output:
        airflow = subprocess.Popen(
            ["airflow", "standalone"], env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        with console.status("Starting Airflow, about half a minute"):
            ready = wait_until_healthy(airflow, address)
        if not ready:
            console.print(f"Airflow did not start. The last lines of {log} say why.")
            return 1
        console.print(
            f"[b]{address}[/b]  no login is asked for, and only this machine can connect.\n"
            "Trigger [b]personalize_train[/b]; unpause the two batch DAGs and they start when it is done.\n"
            f"Data, output, backend and logs: {sandbox.folder.relative_to(PROJECT)}/    Stop with Ctrl-C."
        )
        return airflow.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        stop(airflow)


def wait_until_healthy(airflow: subprocess.Popen[bytes], address: str) -> bool:
    """Whether every component says it is healthy before the patience or the process ends."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while airflow.poll() is None and time.monotonic() < deadline:
        time.sleep(1)
        try:
            with urlopen(f"{address}/api/v2/monitor/health", timeout=5) as answer:
                health = json.load(answer)
        except (URLError, OSError, ValueError):
            continue
        if all((health.get(component) or {}).get("status") == "healthy" for component in COMPONENTS):
            return True
    return False


def stop(airflow: subprocess.Popen[bytes]) -> None:
    """End Airflow and all its children, which are one process group; what does not end in time is killed."""
    deadline = time.monotonic() + PATIENCE_AT_THE_END_SECONDS
    with contextlib.suppress(ProcessLookupError):
        os.killpg(airflow.pid, signal.SIGTERM)
        while time.monotonic() < deadline:
            airflow.poll()
            os.killpg(airflow.pid, 0)
            time.sleep(0.2)
        os.killpg(airflow.pid, signal.SIGKILL)


if __name__ == "__main__":
    raise SystemExit(main())
