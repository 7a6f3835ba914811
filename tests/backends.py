"""A small local backend with everything in it: planted data, imports, a personalization and a segmentation model."""

from __future__ import annotations

import csv
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from airflow_provider_personalize.local import runner, wire
from airflow_provider_personalize.local.backend import Backend
from airflow_provider_personalize.local.work import MODULES
from airflow_provider_personalize.service_model import ENDPOINTS, service_model

USERS, ITEMS, WITHHELD = 60, 40, 2
ROLE = "arn:aws:iam::123456789012:role/PersonalizeRole"
EVERYTHING_SEEN = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'


class Refused(Exception):
    """The backend answered with an error; ``code`` is its type."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


def call(backend: Backend, operation: str, **parameters: Any) -> dict[str, Any]:
    """One operation of any endpoint, straight at the wire."""
    endpoint = next(each for each in ENDPOINTS if operation in service_model(each).operation_names)
    path = service_model(endpoint).operation_model(operation).http["requestUri"]
    target = f"AmazonPersonalize.{operation}"
    answer = wire.handle(backend, target, orjson.dumps(parameters), region="us-east-1", path=path)
    body = orjson.loads(answer.body)
    if answer.status != 200:
        raise Refused(body["__type"], body["message"])
    return body


def run_jobs(backend: Backend) -> None:
    """Do all waiting jobs here and now, in this process; wait for those that a server of the backend took first."""
    deadline = time.monotonic() + 60
    while any(backend.store.unfinished(kind) for kind in MODULES):
        while lease := runner.claim(backend):
            assert runner.run(backend, lease)
        assert time.monotonic() < deadline, "another runner does not finish"
        time.sleep(0.01)


def item_group(item: int) -> int:
    return item % 2


def write_data(directory: Path) -> None:
    """Two groups of tastes: user ``u<n>`` has seen all items of the group ``n % 2`` but two, and no other item.

    So what there is to recommend to a user is known: the ``WITHHELD`` items left of the user's own group.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "interactions.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE"])
        for user in range(USERS):
            own = [item for item in range(ITEMS) if item_group(item) == user % 2]
            for turn in range(len(own) - WITHHELD):
                item = own[(user // 2 + turn) % len(own)]
                out.writerow([f"u{user}", f"i{item}", 1_700_000_000 + 60 * turn + user, "watch"])
    with (directory / "items.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["ITEM_ID", "GENRES"])
        out.writerows([f"i{item}", ["comedy", "drama"][item_group(item)]] for item in range(ITEMS))


def schema(kind: str, **columns: Any) -> str:
    fields = [
        {"name": name, **(type_ if isinstance(type_, dict) else {"type": type_})} for name, type_ in columns.items()
    ]
    record = {"type": "record", "name": kind, "namespace": "com.amazonaws.personalize.schema", "fields": fields}
    return json.dumps(record | {"version": "1.0"})


INTERACTIONS_SCHEMA = schema("Interactions", USER_ID="string", ITEM_ID="string", TIMESTAMP="long", EVENT_TYPE="string")
ITEMS_SCHEMA = schema("Items", ITEM_ID="string", GENRES={"type": "string", "categorical": True})

ACTIONS_SCHEMA = schema("Actions", ACTION_ID="string", VALUE="long")
ACTION_INTERACTIONS_SCHEMA = schema(
    "Action_Interactions", USER_ID="string", ACTION_ID="string", EVENT_TYPE="string", TIMESTAMP="long"
)


@dataclass(frozen=True)
class Arns:
    group: str
    personalization: str  # solution version
    segmentation: str  # solution version
    seen_filter: str


def fill(backend: Backend, data: Path, name: str = "small") -> Arns:
    """Import ``data`` and train both models, in this process; some seconds."""
    write_data(data)
    group = call(backend, "CreateDatasetGroup", name=name, tags=[{"tagKey": "of", "tagValue": "tests"}])[
        "datasetGroupArn"
    ]
    for kind, text in (("INTERACTIONS", INTERACTIONS_SCHEMA), ("ITEMS", ITEMS_SCHEMA)):
        schema_arn = call(backend, "CreateSchema", name=f"{name}-{kind}", schema=text)["schemaArn"]
        dataset = call(
            backend, "CreateDataset", name=kind, schemaArn=schema_arn, datasetGroupArn=group, datasetType=kind
        )
        call(
            backend,
            "CreateDatasetImportJob",
            jobName=f"{name}-{kind}",
            datasetArn=dataset["datasetArn"],
            dataSource={"dataLocation": f"file://{data}/{kind.lower()}.csv"},
            roleArn=ROLE,
        )
    run_jobs(backend)
    versions = []
    for recipe in ("aws-user-personalization", "aws-item-affinity"):
        recipe_arn = f"arn:aws:personalize:::recipe/{recipe}"
        solution = call(backend, "CreateSolution", name=f"{name}-{recipe}", datasetGroupArn=group, recipeArn=recipe_arn)
        version = call(backend, "CreateSolutionVersion", solutionArn=solution["solutionArn"])
        versions.append(version["solutionVersionArn"])
    run_jobs(backend)
    filter_ = call(
        backend, "CreateFilter", name=f"{name}-seen", datasetGroupArn=group, filterExpression=EVERYTHING_SEEN
    )
    return Arns(group, versions[0], versions[1], filter_["filterArn"])


def train(backend: Backend, group: str, recipe: str) -> str:
    """One more solution version in a dataset group, of another recipe; trained here and now."""
    arn = f"arn:aws:personalize:::recipe/{recipe}"
    solution = call(backend, "CreateSolution", name=recipe, datasetGroupArn=group, recipeArn=arn)
    version = call(backend, "CreateSolutionVersion", **solution)["solutionVersionArn"]
    run_jobs(backend)
    return str(version)


def batch_request(solution_version: str, name: str, source: str, destination: str, **more: Any) -> dict[str, Any]:
    """What CreateBatchInferenceJob and CreateBatchSegmentJob take alike."""
    return {
        "jobName": name,
        "solutionVersionArn": solution_version,
        "jobInput": {"s3DataSource": {"path": source}},
        "jobOutput": {"s3DataDestination": {"path": destination}},
        "roleArn": ROLE,
        **more,
    }
