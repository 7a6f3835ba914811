"""Ids that hold anything, from a CSV to an output file whose bytes a slow obvious writer writes too."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_personalize.batch.scores import format_score
from airflow_provider_personalize.local.backend import Backend, open_backend
from tests.backends import INTERACTIONS_SCHEMA, batch_request, call, run_jobs, train

ODD = [
    'say "x"',
    "back\\slash\\",
    "two\nlines",
    "carriage\r\nreturn",
    "tab\tand\x01control\x7f",
    "🎬 film",
    "👩‍👩‍👧‍👦",
    "e\u0301 is not \xe9",
    "line\u2028and\u2029paragraph",
    "\u0085next",
    "日本,語",
    "' OR 1=1 --",
    "</script>",
    "{}",
    "null",
    "007",
    " leading and trailing ",
    "\U0010ffff",
    "x" * 256,
    "ü" * 256,
]
LEVELS = 60


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Backend:
    """Users and items with those ids, of whom user n has what is near item n."""
    root = tmp_path_factory.mktemp("odd")
    (root / "settings.toml").write_text("minimum_interactions = 100\n")
    backend = open_backend(root)
    with (root / "interactions.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, escapechar="\\", quoting=csv.QUOTE_NONNUMERIC)
        file.write("USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE\n")
        for number in range(LEVELS):
            user = ODD[number] if number < len(ODD) else f"user {number}"
            out.writerows([user, ODD[(number + step) % len(ODD)], 1_600_000_000 + step, "watch"] for step in range(6))
    group = call(backend, "CreateDatasetGroup", name="odd")["datasetGroupArn"]
    schema = call(backend, "CreateSchema", name="odd", schema=INTERACTIONS_SCHEMA)
    dataset = call(backend, "CreateDataset", name="odd", **schema, datasetGroupArn=group, datasetType="INTERACTIONS")
    source = {"dataLocation": f"file://{root}/interactions.csv"}
    call(backend, "CreateDatasetImportJob", jobName="odd", **dataset, dataSource=source)
    run_jobs(backend)
    return backend


def answered(backend: Backend, directory: Path, recipe: str, rows: list[dict[str, Any]], kind: str) -> list[bytes]:
    """The output lines of a job."""
    version = train(backend, "arn:aws:personalize:us-east-1:000000000000:dataset-group/odd", recipe)
    source = directory / "rows.json"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))  # escaped: 😀 is two escapes
    request = batch_request(version, recipe, f"file://{source}", f"file://{directory}/out/", numResults=25)
    call(backend, f"Create{kind}", **request)
    run_jobs(backend)
    return (directory / "out" / "rows.json.out").read_bytes().split(b"\n")[:-1]


def plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def test_recommendations_hold_the_ids_as_they_were_imported(backend: Backend, tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = [{"userId": user} for user in [*ODD, "an unknown 😀"]]
    lines = answered(backend, tmp_path, "aws-user-personalization", asked, "BatchInferenceJob")
    for row, line in zip(asked, lines, strict=True):
        found = json.loads(line)
        assert found["input"] == row
        assert sorted(found["output"]["recommendedItems"]) == sorted(ODD)
        items, scores = found["output"]["recommendedItems"], found["output"]["scores"]
        printed = ",".join(format_score(round(score * 1e7)) for score in scores)
        output = f'{{"recommendedItems":{plain(items)},"scores":[{printed}]}}'
        assert line.decode() == f'{{"input":{plain(row)},"output":{output},"error":null}}'


def test_segments_hold_the_ids_as_they_were_imported(backend: Backend, tmp_path: Path) -> None:
    asked = [{"itemId": item} for item in ODD]
    lines = answered(backend, tmp_path, "aws-item-affinity", asked, "BatchSegmentJob")
    seen = set()
    for row, line in zip(asked, lines, strict=True):
        found = json.loads(line)
        assert found["input"] == row
        users = found["output"]["usersList"]
        seen.update(users)
        asked_again = json.dumps(row, ensure_ascii=False)
        assert line.decode() == f'{{"input": {asked_again}, "output": {{"usersList": {plain(users)}}}, "error": null}}'
    assert seen >= set(ODD)


def test_half_a_surrogate_pair_costs_its_row(backend: Backend, tmp_path: Path) -> None:
    asked = [{"userId": "\ud83c"}, {"userId": ODD[0]}]
    bad, good = answered(backend, tmp_path, "aws-popularity-count", asked, "BatchInferenceJob")
    assert json.loads(bad)["input"] == '{"userId": "\\ud83c"}'
    assert "surrogate" in json.loads(bad)["error"]["errorMessage"]
    assert json.loads(good)["error"] is None
