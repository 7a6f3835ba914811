"""Where a test keeps its files: a folder on disk, or a bucket of a real S3 over HTTP (moto's server)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

KEYS = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "us-east-1"}


@dataclass(frozen=True)
class Disk:
    root: Path

    def uri(self, name: str) -> str:
        return f"file://{self.root}/{name}"

    def put(self, name: str, body: bytes) -> str:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        return self.uri(name)

    def get(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file())


@dataclass(frozen=True)
class Bucket:
    client: Any

    def uri(self, name: str) -> str:
        return f"s3://rows/{name}"

    def put(self, name: str, body: bytes) -> str:
        self.client.put_object(Bucket="rows", Key=name, Body=body)
        return self.uri(name)

    def get(self, name: str) -> bytes:
        return bytes(self.client.get_object(Bucket="rows", Key=name)["Body"].read())

    def names(self) -> list[str]:
        return [entry["Key"] for entry in self.client.list_objects_v2(Bucket="rows").get("Contents", ())]


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk | Bucket:
    """Empty. The connection ``aws_default`` leads to the fake service, and to that S3."""
    if request.param == "disk":
        return Disk(tmp_path)
    from .conftest import LOCAL, connection

    url = request.getfixturevalue("s3_url")
    monkeypatch.setenv(
        "AIRFLOW_CONN_AWS_DEFAULT",
        connection(**KEYS, service_config={"personalize": {"endpoint_url": LOCAL}, "s3": {"endpoint_url": url}}),
    )
    client = boto3.session.Session(**KEYS).client("s3", endpoint_url=url)
    client.create_bucket(Bucket="rows")
    for entry in client.list_objects_v2(Bucket="rows").get("Contents", ()):
        client.delete_object(Bucket="rows", Key=entry["Key"])
    return Bucket(client)
