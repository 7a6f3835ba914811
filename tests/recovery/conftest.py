"""A trained backend on each SQL dialect, and runners that can be killed at a chosen place."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_personalize.local import runner
from airflow_provider_personalize.local.backend import STORE_VARIABLE, Backend, open_backend
from airflow_provider_personalize.local.store import Lease
from tests.backends import Arns, call, fill

LEASE_SECONDS = 1.2
SETTINGS = f"lease_seconds = {LEASE_SECONDS}\nminimum_interactions = 100\n"
# A runner that is struck by a signal at a place that the test names as `<module>:<attribute>`: before that function
# does anything. Nothing in the product knows of it.
KILLED = """
import importlib, os, signal, sys
module, path = sys.argv[1].split(":")
owner = importlib.import_module(module)
*parents, name = path.split(".")
for parent in parents:
    owner = getattr(owner, parent)
original = getattr(owner, name)
def struck(*arguments, **named):
    os.kill(os.getpid(), getattr(signal, sys.argv[2]))
    return original(*arguments, **named)
setattr(owner, name, struck)
from airflow_provider_personalize.local import runner
sys.exit(runner.main(sys.argv[3:]))
"""


@dataclass(frozen=True)
class Trained:
    backend: Backend
    arns: Arns

    def run_until_finished(self, describe: Callable[[], dict[str, Any]], seconds: float = 40) -> dict[str, Any]:
        """What a polling client does: each look also starts runners for jobs that wait for one."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            runner.start_waiting(self.backend, {})
            described = describe()
            if described["status"] in ("ACTIVE", "CREATE FAILED"):
                return described
            time.sleep(0.05)
        raise AssertionError(f"still {described['status']} after {seconds} s")

    def inference(self, name: str) -> dict[str, Any]:
        arn = f"arn:aws:personalize:us-east-1:000000000000:batch-inference-job/{name}"
        return call(self.backend, "DescribeBatchInferenceJob", batchInferenceJobArn=arn)["batchInferenceJob"]


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    root = tmp_path_factory.mktemp(request.param)
    (root / "settings.toml").write_text(SETTINGS)
    url = request.getfixturevalue("postgresql") if request.param == "postgresql" else None
    backend = open_backend(root, url)
    return Trained(backend, fill(backend, root / "data"))


def start_killed_runner(backend: Backend, lease: Lease, place: str, signal: str = "SIGKILL") -> subprocess.Popen[bytes]:
    """A runner of ``lease`` that gets ``signal`` when it comes to ``place``."""
    arguments = [str(backend.root), lease.arn, lease.kind, lease.owner, str(lease.attempt), str(lease.seconds)]
    environment = {**os.environ, STORE_VARIABLE: backend.store.url}
    return subprocess.Popen([sys.executable, "-c", KILLED, place, signal, *arguments], env=environment)


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "out"
    shutil.rmtree(tmp_path, ignore_errors=True)
