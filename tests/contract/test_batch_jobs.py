"""Batch jobs from create to output files, with every client; the data is planted, so the right answers are known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.backends import ITEMS, ROLE, USERS, WITHHELD, Arns, Refused, batch_request, item_group
from tests.contract.clients import REGION, Caller

RECOMMENDATION_BYTES = (
    rb'\{"input":\{"userId":"u\d+"\},"output":\{"recommendedItems":\[.*\],"scores":\[.*\]\},"error":null\}'
)


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "users.json"
    path.parent.mkdir()
    path.write_text("".join(json.dumps({"userId": f"u{user}"}) + "\n" for user in range(USERS)))
    return path


def finished(call: Caller, kind: str, name: str) -> dict[str, Any]:
    """Describe until ``ACTIVE`` or ``CREATE FAILED``."""
    operation, member = {
        "inference": ("DescribeBatchInferenceJob", "batchInferenceJob"),
        "segment": ("DescribeBatchSegmentJob", "batchSegmentJob"),
    }[kind]
    arn = f"arn:aws:personalize:{REGION}:000000000000:batch-{kind}-job/{name}"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        job = call(operation, **{f"{member}Arn": arn})[member]
        if job["status"] in ("ACTIVE", "CREATE FAILED"):
            return job
        time.sleep(0.1)
    raise AssertionError(f"{name} is still {job['status']}")


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


class TestInference:
    def test_recommends_what_is_left_of_a_users_own_group(
        self, call: Caller, arns: Arns, name: str, users: Path, tmp_path: Path
    ) -> None:
        request = batch_request(arns.personalization, name, f"file://{users}", f"file://{tmp_path}/out/")
        # Exploration would put an item first now and then that is not the best.
        config = {"itemExplorationConfig": {"explorationWeight": "0"}}
        request |= {"filterArn": arns.seen_filter, "numResults": WITHHELD, "batchInferenceJobConfig": config}
        created = call("CreateBatchInferenceJob", **request)
        assert created == {
            "batchInferenceJobArn": f"arn:aws:personalize:{REGION}:000000000000:batch-inference-job/{name}"
        }

        job = finished(call, "inference", name)

        assert job["status"] == "ACTIVE"
        assert sorted(os.listdir(tmp_path / "out")) == ["_CHECK", "users.json.out"]
        rows = rows_of(tmp_path / "out" / "users.json.out")
        assert [row["input"] for row in rows] == [{"userId": f"u{user}"} for user in range(USERS)]
        own = 0
        for user, row in enumerate(rows):
            items = [int(item.removeprefix("i")) for item in row["output"]["recommendedItems"]]
            scores = row["output"]["scores"]
            assert len(items) == len(set(items)) == len(scores) == WITHHELD
            assert scores == sorted(scores, reverse=True)
            assert 0 < sum(scores) <= 1
            own += sum(item_group(item) == user % 2 for item in items)
        assert own / (USERS * WITHHELD) > 0.95

    def test_rows_are_written_byte_for_byte_as_the_service_writes_them(
        self, one_call: Caller, arns: Arns, name: str, users: Path, tmp_path: Path
    ) -> None:
        one_call(
            "CreateBatchInferenceJob",
            **batch_request(arns.personalization, name, f"file://{users}", f"file://{tmp_path}/out"),
        )
        finished(one_call, "inference", name)
        content = (tmp_path / "out" / "users.json.out").read_bytes()
        assert content.endswith(b"\n")
        import re

        for line in content.splitlines():
            assert re.fullmatch(RECOMMENDATION_BYTES, line)

    def test_a_filter_changes_what_is_selected_and_not_its_scores(
        self, one_call: Caller, arns: Arns, name: str, users: Path, tmp_path: Path
    ) -> None:
        for suffix, more in (("all", {}), ("unseen", {"filterArn": arns.seen_filter})):
            request = batch_request(
                arns.personalization, f"{name}-{suffix}", f"file://{users}", f"file://{tmp_path}/{suffix}"
            )
            one_call("CreateBatchInferenceJob", **request, numResults=ITEMS, **more)
            assert finished(one_call, "inference", f"{name}-{suffix}")["status"] == "ACTIVE"
        everything, unseen = (rows_of(tmp_path / s / "users.json.out") for s in ("all", "unseen"))
        for whole, part in zip(everything, unseen, strict=True):
            scores = dict(zip(whole["output"]["recommendedItems"], whole["output"]["scores"], strict=True))
            kept = dict(zip(part["output"]["recommendedItems"], part["output"]["scores"], strict=True))
            assert sum(scores.values()) == pytest.approx(1, abs=1e-5)
            assert len(scores) == ITEMS
            assert len(kept) == ITEMS // 2 + WITHHELD
            assert kept.items() <= scores.items()

    def test_describe_echoes_the_request_and_the_services_defaults(
        self, call: Caller, arns: Arns, name: str, users: Path, tmp_path: Path
    ) -> None:
        request = batch_request(arns.personalization, name, f"file://{users}", f"file://{tmp_path}/out/")
        call("CreateBatchInferenceJob", **request, tags=[{"tagKey": "team", "tagValue": "recs"}])
        job = finished(call, "inference", name)
        assert {member: job[member] for member in request} == request
        assert job["numResults"] == 25
        assert job["batchInferenceJobMode"] == "BATCH_INFERENCE"
        exploration = {"explorationWeight": "0.3", "explorationItemAgeCutOff": "30"}
        assert job["batchInferenceJobConfig"] == {"itemExplorationConfig": exploration}
        assert "failureReason" not in job
        listed = call("ListBatchInferenceJobs", solutionVersionArn=arns.personalization)["batchInferenceJobs"]
        assert name in [summary["jobName"] for summary in listed]

    def test_unknown_users_get_popular_items_and_broken_rows_their_error(
        self, one_call: Caller, arns: Arns, name: str, tmp_path: Path
    ) -> None:
        source = tmp_path / "mixed.json"
        lines = [
            b'{"userId": "nobody"}',
            b"not json",
            b'{"itemId": "i1"}',
            b'{"userId": 7}',
            b'{"userId": "u\xff"}',
            b"[]",
        ]
        source.write_bytes(b"\n".join([*lines, b'{"userId": "u1"}']))
        one_call(
            "CreateBatchInferenceJob",
            **batch_request(arns.personalization, name, f"file://{source}", f"file://{tmp_path}/out"),
        )
        assert finished(one_call, "inference", name)["status"] == "ACTIVE"
        rows = rows_of(tmp_path / "out" / "mixed.json.out")
        assert len(rows[0]["output"]["recommendedItems"]) == 25
        for number, row in enumerate(rows[1:6], start=2):
            assert row["output"] is None
            assert row["error"]["errorMessage"].startswith(f"Line {number}: ")
        assert [rows[1]["input"], rows[2]["input"], rows[5]["input"]] == ["not json", {"itemId": "i1"}, []]
        assert rows[6]["error"] is None


class TestSegments:
    def test_ranks_the_users_of_an_items_own_group_first(
        self, call: Caller, arns: Arns, name: str, tmp_path: Path
    ) -> None:
        source = tmp_path / "items.json"
        source.write_text("".join(json.dumps({"itemId": item}) + "\n" for item in ("i0", "i1", "i2", "i3", "none")))
        request = batch_request(arns.segmentation, name, f"file://{source}", f"file://{tmp_path}/out/", numResults=20)
        call("CreateBatchSegmentJob", **request)
        assert finished(call, "segment", name)["status"] == "ACTIVE"
        lines = (tmp_path / "out" / "items.json.out").read_bytes().splitlines()
        assert lines[0].startswith(b'{"input": {"itemId": "i0"}, "output": {"usersList": ["u')
        assert b'", "u' not in lines[0]
        for item, line in enumerate(lines[:4]):
            users = [int(user.removeprefix("u")) for user in orjson.loads(line)["output"]["usersList"]]
            assert len(set(users)) == 20
            assert sum(user % 2 == item % 2 for user in users) >= 18
        assert "none" in orjson.loads(lines[4])["error"]["errorMessage"]


class TestRefusals:
    @pytest.fixture
    def request_(self, arns: Arns, name: str, users: Path, tmp_path: Path) -> dict[str, Any]:
        return batch_request(arns.personalization, name, f"file://{users}", f"file://{tmp_path}/out/")

    def refused(self, call: Caller, operation: str, request: dict[str, Any]) -> Refused:
        with pytest.raises(Refused) as refused:
            call(operation, **request)
        return refused.value

    def test_a_job_name_is_taken_once(self, call: Caller, name: str, request_: dict[str, Any]) -> None:
        arn = call("CreateBatchInferenceJob", **request_)["batchInferenceJobArn"]
        refused = self.refused(call, "CreateBatchInferenceJob", request_)
        assert refused.code == "ResourceAlreadyExistsException"
        assert arn in refused.message
        finished(call, "inference", name)

    def test_the_recipe_decides_the_kind_of_job(self, call: Caller, arns: Arns, request_: dict[str, Any]) -> None:
        refused = self.refused(call, "CreateBatchSegmentJob", request_)
        assert (refused.code, "USER_SEGMENTATION" in refused.message) == ("InvalidInputException", True)
        refused = self.refused(call, "CreateBatchInferenceJob", request_ | {"solutionVersionArn": arns.segmentation})
        assert (refused.code, "batch segment jobs" in refused.message) == ("InvalidInputException", True)

    @pytest.mark.parametrize(
        ("change", "code", "message"),
        [
            (
                {"solutionVersionArn": f"arn:aws:personalize:{REGION}:000000000000:solution/x/01234567"},
                "ResourceNotFoundException",
                "solution/x",
            ),
            (
                {"filterArn": f"arn:aws:personalize:{REGION}:000000000000:filter/x"},
                "ResourceNotFoundException",
                "filter/x",
            ),
            ({"numResults": 0}, "InvalidInputException", "numResults"),
            (
                {"jobInput": {"s3DataSource": {"path": "http://example.com/users.json"}}},
                "InvalidInputException",
                "Invalid S3 input path",
            ),
            ({"batchInferenceJobMode": "THEME_GENERATION"}, "InvalidInputException", "aws-similar-items"),
            (
                {"batchInferenceJobConfig": {"itemExplorationConfig": {"explorationWeight": "2"}}},
                "InvalidInputException",
                "explorationWeight",
            ),
            (
                {"batchInferenceJobConfig": {"itemExplorationConfig": {"weight": "0"}}},
                "InvalidInputException",
                "'weight'",
            ),
            (
                {"batchInferenceJobConfig": {"rankingInfluence": {"FRESHNESS": 0.5}}},
                "InvalidInputException",
                "rankingInfluence",
            ),
        ],
    )
    def test_a_request_that_cannot_work_is_refused_before_it_costs(
        self, call: Caller, request_: dict[str, Any], change: dict[str, Any], code: str, message: str
    ) -> None:
        refused = self.refused(call, "CreateBatchInferenceJob", request_ | change)
        assert refused.code == code
        assert message in refused.message

    def test_output_may_not_be_the_input_location(self, call: Caller, request_: dict[str, Any]) -> None:
        path = request_["jobInput"]["s3DataSource"]["path"]
        refused = self.refused(
            call, "CreateBatchInferenceJob", request_ | {"jobOutput": {"s3DataDestination": {"path": path + "/"}}}
        )
        assert refused.code == "InvalidInputException"
        assert "Invalid S3 output path" in refused.message

    def test_a_filter_of_another_dataset_group_is_refused(
        self, call: Caller, arns: Arns, name: str, request_: dict[str, Any]
    ) -> None:
        group = call("CreateDatasetGroup", name=name)["datasetGroupArn"]
        schema_arn = arns.group.replace("dataset-group/small", "schema/small-INTERACTIONS")
        call("CreateDataset", name=name, schemaArn=schema_arn, datasetGroupArn=group, datasetType="INTERACTIONS")
        expression = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'
        foreign = call("CreateFilter", name=name, datasetGroupArn=group, filterExpression=expression)["filterArn"]
        refused = self.refused(call, "CreateBatchInferenceJob", request_ | {"filterArn": foreign})
        assert (refused.code, "different dataset groups" in refused.message) == ("InvalidInputException", True)


def test_the_aws_cli_takes_the_arguments_of_the_services_documentation(
    server: str, arns: Arns, name: str, users: Path, tmp_path: Path
) -> None:
    """The command of the developer guide's page "Creating a batch inference job (AWS CLI)", shorthand included."""
    command = [
        *(sys.executable, "-m", "awscli", "--endpoint-url", server, "--region", REGION, "--output", "json"),
        *("personalize", "create-batch-inference-job"),
        *("--job-name", name),
        *("--solution-version-arn", arns.personalization),
        *("--filter-arn", arns.seen_filter),
        *("--num-results", "10"),
        *("--job-input", f"s3DataSource={{path=file://{users}}}"),
        *("--job-output", f"s3DataDestination={{path=file://{tmp_path}/out/}}"),
        *("--role-arn", ROLE),
        *(
            "--batch-inference-job-config",
            '{"itemExplorationConfig": {"explorationWeight": "0.3", "explorationItemAgeCutOff": "30"}}',
        ),
    ]
    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, **keys}, check=False
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["batchInferenceJobArn"].endswith(f"batch-inference-job/{name}")
