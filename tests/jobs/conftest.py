"""A trained backend whose jobs run in this process, when a test says so."""

from __future__ import annotations

import csv
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from airflow_provider_personalize.local.backend import Backend, open_backend
from tests.backends import (
    ACTIONS_SCHEMA,
    INTERACTIONS_SCHEMA,
    ITEMS,
    ROLE,
    Arns,
    batch_request,
    call,
    fill,
    item_group,
    run_jobs,
    schema,
    train,
    write_data,
)

PLOTS = ("A knight defends a castle against a dragon.", "A robot repairs a spaceship near a distant planet.")
ITEMS_SCHEMA = schema(
    "Items",
    ITEM_ID="string",
    TITLE={"type": "string", "itemName": True},
    GENRES={"type": "string", "categorical": True},
    PLOT={"type": "string", "textual": True},
    CREATION_TIMESTAMP="long",
)
RELATED = ("aws-sims", "aws-similar-items", "aws-semantic-similarity")


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


class Group:
    """A dataset group whose recipes are trained when first asked for."""

    def __init__(self, backend: Backend, arn: str) -> None:
        self.backend, self.arn = backend, arn
        self._versions: dict[str, str] = {}

    def version(self, recipe: str) -> str:
        if recipe not in self._versions:
            self._versions[recipe] = train(self.backend, self.arn, recipe)
        return self._versions[recipe]

    def run(self, recipe: str, lines: list[dict[str, Any]], folder: Path, **more: Any) -> list[dict[str, Any]]:
        """The output rows of one batch job over ``lines``."""
        written = "".join(json.dumps(line) + "\n" for line in lines).encode()
        job, rows = self.run_bytes(recipe, written, folder, **more)
        assert job["status"] == "ACTIVE", job
        assert [row["input"] for row in rows] == lines
        return rows

    def run_bytes(
        self, recipe: str, content: bytes, folder: Path, **more: Any
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """One batch job over a file of these bytes, and its output rows; none where it failed."""
        source = folder / "in" / "rows.json"
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_bytes(content)
        kind = "Segment" if "affinity" in recipe else "Inference"
        request = batch_request(
            self.version(recipe), f"job-{secrets.token_hex(4)}", f"file://{source}", f"file://{folder}/out/", **more
        )
        created = call(self.backend, f"CreateBatch{kind}Job", **request)
        run_jobs(self.backend)
        (job,) = call(self.backend, f"DescribeBatch{kind}Job", **created).values()
        return job, rows_of(folder / "out" / "rows.json.out") if job["status"] == "ACTIVE" else []


@pytest.fixture(scope="session")
def group(tmp_path_factory: pytest.TempPathFactory) -> Group:
    root = tmp_path_factory.mktemp("recipes")
    (root / "settings.toml").write_text("solutions_per_dataset_group = 20\ncampaigns_per_dataset_group = 20\n")
    backend = open_backend(root)
    write_data(root / "data")
    with (root / "data" / "items.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["ITEM_ID", "TITLE", "GENRES", "PLOT", "CREATION_TIMESTAMP"])
        for item in range(ITEMS):
            group = item_group(item)
            out.writerow([f"i{item}", f"Tale {item}", ["comedy", "drama"][group], PLOTS[group], 1_600_000_000])
    (root / "data" / "actions.csv").write_text("ACTION_ID,VALUE\nsubscribe,10\nreview,1\n")
    arn = call(backend, "CreateDatasetGroup", name="recipes")["datasetGroupArn"]
    for kind, text in (("INTERACTIONS", INTERACTIONS_SCHEMA), ("ITEMS", ITEMS_SCHEMA), ("ACTIONS", ACTIONS_SCHEMA)):
        schema_arn = call(backend, "CreateSchema", name=kind, schema=text)["schemaArn"]
        created = call(backend, "CreateDataset", name=kind, schemaArn=schema_arn, datasetGroupArn=arn, datasetType=kind)
        call(
            backend,
            "CreateDatasetImportJob",
            jobName=kind,
            datasetArn=created["datasetArn"],
            dataSource={"dataLocation": f"file://{root}/data/{kind.lower()}.csv"},
            roleArn=ROLE,
        )
    run_jobs(backend)
    return Group(backend, arn)
