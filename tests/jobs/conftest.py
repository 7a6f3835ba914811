"""A trained backend whose jobs run in this process, when a test says so."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from airflow_provider_personalize.local.backend import Backend, open_backend
from tests.backends import Arns, batch_request, call, fill, run_jobs


@dataclass(frozen=True)
class Jobs:
    backend: Backend
    arns: Arns

    def infer(self, source: str, destination: str, **more: Any) -> dict[str, Any]:
        """Create a batch inference job, do it, and describe it."""
        name = f"job-{secrets.token_hex(4)}"
        request = batch_request(self.arns.personalization, name, source, destination, **more)
        arn = call(self.backend, "CreateBatchInferenceJob", **request)["batchInferenceJobArn"]
        run_jobs(self.backend)
        return call(self.backend, "DescribeBatchInferenceJob", batchInferenceJobArn=arn)["batchInferenceJob"]


@pytest.fixture(scope="session")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    root = tmp_path_factory.mktemp("jobs")
    backend = open_backend(root)
    return Jobs(backend, fill(backend, root / "data"))


@pytest.fixture
def users(tmp_path: Path) -> Callable[..., Path]:
    """``users("u1", "u2")`` -> a file with a row for each, or ``users(lines=b"...")`` -> one with these bytes."""

    def write(*ids: str, lines: bytes | None = None, name: str = "users.json") -> Path:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = "".join(json.dumps({"userId": user}) + "\n" for user in ids).encode()
        path.write_bytes(rows if lines is None else lines)
        return path

    return write


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]
