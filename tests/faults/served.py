"""The real local backend behind a server, where a test decides what becomes of each job, and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from airflow_provider_personalize.hooks.resources import (
    BATCH_INFERENCE_JOB,
    BATCH_SEGMENT_JOB,
    DATASET_IMPORT_JOB,
    SOLUTION_VERSION,
    PersonalizeResource,
)
from airflow_provider_personalize.local import runner
from airflow_provider_personalize.local.backend import Backend, open_backend
from airflow_provider_personalize.local.store import ACTIVE, FAILED, Lease
from airflow_provider_personalize.local.transports.http import application
from airflow_provider_personalize.operators.batch_jobs import (
    PersonalizeBatchInferenceJobOperator,
    PersonalizeBatchSegmentJobOperator,
)
from airflow_provider_personalize.operators.training import (
    PersonalizeDatasetImportJobOperator,
    PersonalizeSolutionVersionOperator,
)
from tests.backends import INTERACTIONS_SCHEMA, ROLE, call
from tests.faults.line import Line, line_to

REASON = "The test has failed it."
CONNECTION = "served"
BATCH = {"input_uri": "s3://bucket/in/users.json", "output_uri": "s3://bucket/out/", "role_arn": ROLE}
RESOURCES = {
    "inference": BATCH_INFERENCE_JOB,
    "segment": BATCH_SEGMENT_JOB,
    "import": DATASET_IMPORT_JOB,
    "training": SOLUTION_VERSION,
}


def operation(verb: str, resource: PersonalizeResource) -> str:
    """``CreateBatchInferenceJob``."""
    return verb + resource.member[0].upper() + resource.member[1:]


def build_operator(kind: str, arns: dict[str, str], **arguments: Any) -> Any:
    """The operator that starts a job of ``kind`` on what :func:`fill` has made."""
    given = {"task_id": "t", "aws_conn_id": CONNECTION, **arguments}
    if kind == "inference":
        return PersonalizeBatchInferenceJobOperator(solution_version_arn=arns[kind], **{**BATCH, **given})
    if kind == "segment":
        return PersonalizeBatchSegmentJobOperator(solution_version_arn=arns[kind], **{**BATCH, **given})
    if kind == "import":
        source = {"data_location": "s3://bucket/interactions.csv", "role_arn": ROLE}
        return PersonalizeDatasetImportJobOperator(dataset_arn=arns[kind], **{**source, **given})
    return PersonalizeSolutionVersionOperator(solution_arn=arns[kind], **given)


@dataclass
class Served:
    """:ivar fates: what the next jobs end in, one each; the last one is every later job's as well.
    :ivar looks: how often a job is looked at until it ends.
    :ivar seen: how often each was looked at.
    """

    backend: Backend
    line: Line
    arns: dict[str, str]
    fates: list[str] = field(default_factory=lambda: [ACTIVE])
    looks: int = 3
    seen: dict[str, int] = field(default_factory=dict)
    _leases: dict[str, Lease] = field(default_factory=dict)
    _before: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> None:
        """A test begins: what was there before does not count, and all goes well."""
        self.line.clear()
        self.finish()
        self.fates, self.looks = [ACTIVE], 3
        self._before = self._all()
        self.line.before_call = self._look

    def operator(self, kind: str, **arguments: Any) -> Any:
        return build_operator(kind, self.arns, **arguments)

    def jobs(self) -> dict[str, str]:
        """The jobs that this test has created, oldest first, and their statuses."""
        found = [
            found
            for resource in RESOURCES.values()
            for found in self.backend.store.page(resource.kind, region="us-east-1", limit=10_000)
            if found.arn not in self._before
        ]
        return {resource.arn: resource.status for resource in sorted(found, key=lambda found: found.seq)}

    def finish(self) -> None:
        """Nobody waits for these any more, and they would fill the quotas of the next test."""
        for lease in list(self._leases.values()):
            self.backend.store.publish(lease, FAILED)
        while lease := runner.claim(self.backend):
            self.backend.store.publish(lease, FAILED)
        self._leases.clear()
        self.seen.clear()

    def _all(self) -> set[str]:
        self._before = set()
        return set(self.jobs())

    def _look(self, operation: str, parameters: dict[str, Any]) -> None:
        """A job gets on by being looked at: pending at first, in progress the second time, then it ends."""
        if not operation.startswith("Describe"):
            return
        [arn] = parameters.values()
        with self._lock:
            if self.backend.store.get(arn) is None:
                return
            self.seen[arn] = self.seen.get(arn, 0) + 1
            if self.seen[arn] == 2:
                while lease := runner.claim(self.backend):
                    self._leases[lease.arn] = lease
            if self.seen[arn] >= self.looks and arn in self._leases:
                fate = self.fates[min(list(self.jobs()).index(arn), len(self.fates) - 1)]
                reason = REASON if fate == FAILED else None
                self.backend.store.publish(self._leases.pop(arn), fate, failure_reason=reason)


def fill(backend: Backend) -> dict[str, str]:
    """What each kind of job needs before it; trained in name only, since no job here does any work."""
    group = call(backend, "CreateDatasetGroup", name="faults")["datasetGroupArn"]
    schema = call(backend, "CreateSchema", name="interactions", schema=INTERACTIONS_SCHEMA)["schemaArn"]
    request = {"schemaArn": schema, "datasetGroupArn": group, "datasetType": "INTERACTIONS"}
    arns = {"import": call(backend, "CreateDataset", name="interactions", **request)["datasetArn"]}
    for kind, recipe in (("inference", "aws-user-personalization"), ("segment", "aws-item-affinity")):
        recipe_arn = f"arn:aws:personalize:::recipe/{recipe}"
        solution = call(backend, "CreateSolution", name=kind, datasetGroupArn=group, recipeArn=recipe_arn)
        arns[kind] = call(backend, "CreateSolutionVersion", **solution)["solutionVersionArn"]
    arns["training"] = solution["solutionArn"]
    while lease := runner.claim(backend):
        backend.store.publish(lease, ACTIVE)
    return arns


@contextmanager
def serving(root: Path) -> Iterator[Served]:
    backend = open_backend(root)
    server = uvicorn.Server(uvicorn.Config(application(backend, region="us-east-1"), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    host, port = server.servers[0].sockets[0].getsockname()
    with line_to(host, port) as line:
        yield Served(backend, line, fill(backend))
    server.should_exit = True
    thread.join()
