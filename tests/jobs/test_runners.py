"""What a runner's process is made of: the interpreter says what it imported in the runner's own log."""

from __future__ import annotations

import json
import re
import subprocess
import sys
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


def test_a_process_that_answers_shards_imports_no_store_either() -> None:
    """Each such process of a job would take half a second longer to start."""
    answering = "airflow_provider_personalize.local.work.answering"
    command = f"import sys, {answering}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    packages = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "numpy" in packages
    assert {"sqlalchemy", "airflow", "boto3", "botocore", "lightfm", "scipy"}.isdisjoint(packages)


def test_processes_of_a_job_do_not_import_its_runner_again(jobs: Jobs, tmp_path: Path) -> None:
    source = tmp_path / "in.json"
    source.write_text(json.dumps({"userId": "u1"}) + "\n")
    request = batch_request(jobs.arns.personalization, "spread-imports", f"file://{source}", f"file://{tmp_path}/out/")
    (arn,) = call(jobs.backend, "CreateBatchInferenceJob", **request).values()
    lease = runner.claim(jobs.backend)
    assert lease is not None
    settings = jobs.backend.root / "settings.toml"
    before = settings.read_text() if settings.exists() else ""
    settings.write_text(before + "processes = 2\n")
    try:
        assert runner.start(jobs.backend, lease, {"PYTHONPROFILEIMPORTTIME": "1"}).wait(timeout=60) == 0
    finally:
        settings.write_text(before)
    imported = IMPORTED.findall(runner_log(jobs.backend.root, arn).read_text())
    assert imported.count("airflow_provider_personalize.local.work.answering") > 1  # more processes than the runner
    assert imported.count("sqlalchemy") == 1
