"""What users do after a training is seen by batch answers; a solution's training options reach the training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_personalize.local.backend import open_backend
from airflow_provider_personalize.local.layout import model_directory
from airflow_provider_personalize.local.models import open_model
from airflow_provider_personalize.local.recipes import Model
from airflow_provider_personalize.local.store import Store
from airflow_provider_personalize.local.work import histories
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


def test_a_model_follows_data_only_where_they_are_not_those_of_its_training(own: Jobs, tmp_path: Path) -> None:
    model = _model(own)
    assert not histories.behind(own.backend, own.arns.group, model)
    load(own, tmp_path, "u0", ["i1"])
    assert histories.behind(own.backend, own.arns.group, model)


def test_whether_records_are_others_is_known_without_reading_them(own: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    before = histories.fingerprint(own.backend, own.arns.group)
    monkeypatch.setattr(Store, "records_of", None)
    own.backend.store.put(f"{BASE}dataset/small/INTERACTIONS", [("u1", {"USER_ID": "u1"})])
    assert histories.fingerprint(own.backend, own.arns.group) != before


def test_items_imported_after_training_are_explored(own: Jobs, users: Callable[..., Path], tmp_path: Path) -> None:
    source = users("u0", "nobody")
    load(own, tmp_path, "u7", ["i1"])  # so late that all items of the training are old
    before = recommended(own, source, tmp_path / "before")
    (tmp_path / "fresh.csv").write_text("ITEM_ID,GENRES\n" + "".join(f"a-fresh{n},news\n" for n in range(3)))
    call(
        own.backend,
        "CreateDatasetImportJob",
        jobName="fresh",
        datasetArn=f"{BASE}dataset/small/ITEMS",
        dataSource={"dataLocation": f"file://{tmp_path / 'fresh.csv'}"},
        importMode="INCREMENTAL",
    )
    run_jobs(own.backend)
    assert recommended(own, source, tmp_path / "relevance") == before

    no_news = call(
        own.backend,
        "CreateFilter",
        name="no-news",
        datasetGroupArn=own.arns.group,
        filterExpression='EXCLUDE ItemID WHERE Items.GENRES IN ("news")',
    )
    exploring = {"itemExplorationConfig": {"explorationWeight": "1"}}
    for name, more, fresh in (("all", {}, 3), ("filtered", no_news, 0)):
        target = tmp_path / name
        own.infer(f"file://{source}", f"file://{target}/", numResults=10, batchInferenceJobConfig=exploring, **more)
        for row, known in zip(rows_of(target / "users.json.out"), before, strict=True):
            shown = dict(zip(row["output"]["recommendedItems"], row["output"]["scores"], strict=True))
            new = {item: score for item, score in shown.items() if item.startswith("a-fresh")}
            assert len(new) == fresh
            assert all(score == 0 for score in new.values())
            assert [item for item in shown if item not in new] == known[: 10 - fresh]


def test_a_training_keeps_its_metrics(own: Jobs) -> None:
    answer = call(own.backend, "GetSolutionMetrics", solutionVersionArn=own.arns.personalization)
    assert 0 < answer["metrics"]["coverage"] <= 1
    assert "normalized_discounted_cumulative_gain_at_25" in answer["metrics"]


def _model(jobs: Jobs) -> Model:
    return open_model(model_directory(jobs.backend.root, jobs.arns.personalization))
