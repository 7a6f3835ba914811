"""One backend for all contract tests, and each client that calls it."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.clients import TRANSPORTS, Caller, caller


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backend")


@pytest.fixture(scope="session")
def server(root: Path) -> Iterator[str]:
    """``personalize-local serve`` as a user starts it; its URL."""
    command = [sys.executable, "-m", "airflow_provider_personalize.local.cli", "serve"]
    command += ["--root", str(root), "--port", "0", "--workers", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield re.findall(r"http://\S+", line)[0]
        process.terminate()
        assert process.wait(timeout=20) == 0


@pytest.fixture(scope="session", params=TRANSPORTS)
def call(request: pytest.FixtureRequest, root: Path, server: str) -> Caller:
    """``call("CreateSchema", name=..., schema=...)`` -> the response, or raises ``Refused``."""
    return caller(request.param, root, server)


@pytest.fixture
def name() -> str:
    """A name that no other test has."""
    return f"t-{secrets.token_hex(6)}"
