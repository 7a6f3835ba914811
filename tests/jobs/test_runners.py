"""What a runner's process is made of: the interpreter says what it imported in the runner's own log."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from airflow_provider_personalize.local import runner
from airflow_provider_personalize.local.layout import runner_log
from tests.backends import batch_request, call
from tests.jobs.conftest import Jobs

IMPORTED = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+([\w.]+)$", re.MULTILINE)


@pytest.mark.parametrize("kind", ["Inference", "Segment"])
def test_a_runner_that_scores_imports_neither_training_nor_airflow(jobs: Jobs, kind: str, tmp_path: Path) -> None:
    row, version = {
        "Inference": ({"userId": "u1"}, jobs.arns.personalization),
        "Segment": ({"itemId": "i1"}, jobs.arns.segmentation),
    }[kind]
    more = {"filterArn": jobs.arns.seen_filter} if kind == "Inference" else {}
    source = tmp_path / "in.json"
    source.write_text(json.dumps(row) + "\n")
    request = batch_request(version, f"imports-{kind}", f"file://{source}", f"file://{tmp_path}/out/", **more)
    (arn,) = call(jobs.backend, f"CreateBatch{kind}Job", **request).values()
    lease = runner.claim(jobs.backend)
    assert lease is not None
    assert runner.start(jobs.backend, lease, {"PYTHONPROFILEIMPORTTIME": "1"}).wait(timeout=60) == 0

    resource = jobs.backend.store.get(arn)
    assert resource is not None
    assert (resource.status, resource.failure_reason) == ("ACTIVE", None)
    packages = {name.partition(".")[0] for name in IMPORTED.findall(runner_log(jobs.backend.root, arn).read_text())}
    assert "numpy" in packages
    assert packages.isdisjoint({"airflow", "boto3", "lightfm", "scipy", "sklearn"})
