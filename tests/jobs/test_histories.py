"""What users do after a training is seen by batch answers; a solution's training options reach the training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_personalize.local.backend import open_backend
from airflow_provider_personalize.local.layout import model_directory
from airflow_provider_personalize.local.models import open_model
from airflow_provider_personalize.local.recipes import Model
from airflow_provider_personalize.local.work import histories
from airflow_provider_personalize.local.work.dataset_group import datasets_of
from tests.backends import ITEMS, call, fill, item_group, run_jobs
from tests.jobs.conftest import Jobs, rows_of

BASE = "arn:aws:personalize:us-east-1:000000000000:"
NO_EXPLORATION = {"itemExplorationConfig": {"explorationWeight": "0"}}


@pytest.fixture
def own(tmp_path: Path) -> Jobs:
    """A backend of this test's own, whose data it changes."""
    root = tmp_path / "backend"
    root.mkdir()
    (root / "settings.toml").write_text("minimum_interactions = 1\n")
    backend = open_backend(root)
    return Jobs(backend, fill(backend, root / "data"))


def load(jobs: Jobs, directory: Path, user: str, items: list[str]) -> None:
    """Import what a user did later than everything that there is."""
    lines = [f"{user},{item},{1_800_000_000 + turn},watch" for turn, item in enumerate(items)]
    (directory / "more.csv").write_text("\n".join(["USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE", *lines]) + "\n")
    call(
        jobs.backend,
        "CreateDatasetImportJob",
        jobName=f"more-{user}",
        datasetArn=f"{BASE}dataset/small/INTERACTIONS",
        dataSource={"dataLocation": f"file://{directory / 'more.csv'}"},
        importMode="INCREMENTAL",
    )
    run_jobs(jobs.backend)


def recommended(jobs: Jobs, source: Path, target: Path) -> list[list[str]]:
    job = jobs.infer(f"file://{source}", f"file://{target}/", numResults=10, batchInferenceJobConfig=NO_EXPLORATION)
    assert job["status"] == "ACTIVE", job
    return [row["output"]["recommendedItems"] for row in rows_of(target / "users.json.out")]


def share_of_odd(items: list[str]) -> float:
    return sum(item_group(int(item[1:])) for item in items) / len(items)


def test_a_user_who_came_after_training_is_recommended_what_suits_her(
    own: Jobs, users: Callable[..., Path], tmp_path: Path
) -> None:
    source = users("late", "u0")
    before = recommended(own, source, tmp_path / "before")
    load(own, tmp_path, "late", [f"i{item}" for item in range(1, ITEMS, 4)])
    after = recommended(own, source, tmp_path / "after")
    assert share_of_odd(after[0]) == 1
    assert share_of_odd(before[0]) < 1  # what is popular
    assert after[1] == before[1]


def test_data_that_are_those_of_the_training_are_not_read_again(own: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    monkeypatch.setattr(histories, "datasets_of", lambda *given: read.append(given) or datasets_of(*given))
    model = _model(own)
    assert histories.current(own.backend, own.arns.group, model) is model
    assert not read
    forgotten = type(model)(model.recipe, {**model.manifest, "data": []}, model.arrays, model.ids)
    assert len(histories.current(own.backend, own.arns.group, forgotten).changed.user_ids) == 0  # type: ignore[attr-defined]
    assert len(read) == 1


def test_a_training_keeps_its_metrics(own: Jobs) -> None:
    answer = call(own.backend, "GetSolutionMetrics", solutionVersionArn=own.arns.personalization)
    assert 0 < answer["metrics"]["coverage"] <= 1
    assert "normalized_discounted_cumulative_gain_at_25" in answer["metrics"]


def _model(jobs: Jobs) -> Model:
    return open_model(model_directory(jobs.backend.root, jobs.arns.personalization))
