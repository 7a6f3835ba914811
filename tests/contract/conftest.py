"""One backend for all contract tests, and each client that calls it."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from airflow_provider_personalize.local.backend import Settings, open_backend
from tests.backends import ACTION_INTERACTIONS_SCHEMA, ACTIONS_SCHEMA, Arns, fill, train
from tests.backends import call as call_wire
from tests.contract.clients import TRANSPORTS, Caller, caller


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One backend for hundreds of tests, so that those quotas are raised which all of them share."""
    path = tmp_path_factory.mktemp("backend")
    shared = ["dataset_groups", "schemas", "campaigns_per_dataset_group"]
    shared += [f.name for f in fields(Settings) if f.name.startswith("unfinished_")]
    (path / "settings.toml").write_text("".join(f"{name} = 10000\n" for name in shared))
    return path


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
def call(request: pytest.FixtureRequest, root: Path, server: str) -> Iterator[Caller]:
    """``call("CreateSchema", name=..., schema=...)`` -> the response, or raises ``Refused``."""
    with caller(request.param, root, server) as ask:
        yield ask


@pytest.fixture(scope="session")
def one_call(root: Path, server: str) -> Iterator[Caller]:
    """``call`` by one client alone, for what a job writes: it does not depend on who asked for it."""
    with caller(TRANSPORTS[0], root, server) as ask:
        yield ask


@pytest.fixture(scope="session")
def arns(root: Path) -> Arns:
    """A dataset group with data and trained solution versions, in the backend that all clients call."""
    return fill(open_backend(root), root / "data")


@pytest.fixture(scope="session")
def ranking(root: Path, arns: Arns) -> str:
    """A trained solution version of aws-personalized-ranking in the same dataset group."""
    return train(open_backend(root), arns.group, "aws-personalized-ranking")


@pytest.fixture(scope="session")
def next_action(root: Path, arns: Arns) -> str:
    """A trained solution version of aws-next-best-action: of two actions, users take ``call`` and leave ``write``."""
    backend, kinds = open_backend(root), {}
    for kind, text in (("Actions", ACTIONS_SCHEMA), ("Action_Interactions", ACTION_INTERACTIONS_SCHEMA)):
        arn = call_wire(backend, "CreateSchema", name=f"small-{kind}", schema=text)
        kinds[kind] = call_wire(
            backend, "CreateDataset", name=kind, **arn, datasetGroupArn=arns.group, datasetType=kind
        )
    actions = [{"actionId": action, "properties": '{"value": 1}'} for action in ("write", "call")]
    call_wire(backend, "PutActions", **kinds["Actions"], actions=actions)
    tracking_id = call_wire(backend, "DescribeDataset", **kinds["Action_Interactions"])["dataset"]["trackingId"]
    for user in ("u1", "u2", "u3"):
        events = [
            {"actionId": action, "userId": user, "sessionId": "s", "timestamp": 1_700_000_000, "eventType": event}
            for action, event in (("call", "taken"), ("write", "not taken"))
        ]
        call_wire(backend, "PutActionInteractions", trackingId=tracking_id, actionInteractions=events)
    return train(backend, arns.group, "aws-next-best-action")


@pytest.fixture
def name() -> str:
    """A name that no other test has."""
    return f"t-{secrets.token_hex(6)}"
