"""Live answers see the data of now, and read them only when they are others."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_personalize.local.backend import open_backend
from airflow_provider_personalize.local.recipes import user_personalization
from airflow_provider_personalize.local.scoring.items import Items
from airflow_provider_personalize.local.work import latest
from airflow_provider_personalize.local.work.dataset_group import datasets_of
from tests.backends import ITEMS, WITHHELD, call, fill, schema
from tests.jobs.conftest import Jobs, rows_of

Ask = Callable[..., list[str]]


@pytest.fixture
def own(tmp_path: Path) -> Jobs:
    """A backend of this test's own, whose data it changes."""
    backend = open_backend(tmp_path / "backend")
    return Jobs(backend, fill(backend, tmp_path / "data"))


@pytest.fixture
def ask(own: Jobs) -> Ask:
    campaign = call(own.backend, "CreateCampaign", name="live", solutionVersionArn=own.arns.personalization)

    def answer(**more: Any) -> list[str]:
        request = {**campaign, "userId": "u0", "numResults": ITEMS, **more}
        response = call(own.backend, "GetRecommendations", **request)
        return [item["itemId"] for item in response["itemList"]]

    return answer


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """One entry for each time that the data are read."""
    made: list[Any] = []
    monkeypatch.setattr(latest, "datasets_of", lambda *given: made.append(given) or datasets_of(*given))
    return made


def put_event(jobs: Jobs, item: str) -> None:
    tracker = call(jobs.backend, "CreateEventTracker", name=f"of-{item}", datasetGroupArn=jobs.arns.group)
    event = {"eventType": "watch", "itemId": item, "sentAt": 1_800_000_000}
    call(jobs.backend, "PutEvents", trackingId=tracker["trackingId"], sessionId="s", userId="u0", eventList=[event])


def test_filtered_answers_read_the_data_once(own: Jobs, ask: Ask, readings: list[Any]) -> None:
    unseen = 'INCLUDE ItemID WHERE Items.GENRES IN ("comedy")'
    genre = call(own.backend, "CreateFilter", name="g", datasetGroupArn=own.arns.group, filterExpression=unseen)
    for _ in range(3):
        assert len(ask(filterArn=own.arns.seen_filter)) == ITEMS - (ITEMS // 2 - WITHHELD)
        assert len(ask(**genre)) == ITEMS // 2
    assert len(readings) == 1


def test_answers_without_a_filter_from_the_data_of_the_training_read_nothing(ask: Ask, readings: list[Any]) -> None:
    assert len(ask()) == ITEMS
    assert not readings


def test_the_items_are_made_ready_once_for_each_configuration(
    own: Jobs, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed: list[Any] = []
    monkeypatch.setattr(user_personalization, "Items", lambda *given: packed.append(given) or Items(*given))
    assert [len(ask(userId=f"u{number}")) for number in range(3)] == [ITEMS] * 3
    made = len(packed)
    quiet = {"itemExplorationConfig": {"explorationWeight": "0"}}
    arns = {"solutionVersionArn": own.arns.personalization}
    other = call(own.backend, "CreateCampaign", name="quiet", **arns, campaignConfig=quiet)
    assert [len(ask(userId=f"u{number}", **other)) for number in range(3)] == [ITEMS] * 3
    assert (made, len(packed)) == (1, 2)


def test_an_event_is_seen_by_the_next_answer(own: Jobs, ask: Ask, readings: list[Any]) -> None:
    before = ask(filterArn=own.arns.seen_filter)
    put_event(own, before[0])
    assert ask(filterArn=own.arns.seen_filter) != before
    assert set(ask(filterArn=own.arns.seen_filter)) == set(before[1:])
    assert len(readings) == 2


def test_a_column_added_to_the_schema_is_filtered_by_in_the_next_answer(own: Jobs, ask: Ask) -> None:
    assert ask(filterArn=own.arns.seen_filter)
    new = {"type": ["null", "string"], "categorical": True}
    wider = schema("Items", ITEM_ID="string", GENRES={"type": "string", "categorical": True}, KIND=new)
    schema_arn = call(own.backend, "CreateSchema", name="wider", schema=wider)["schemaArn"]
    dataset = own.arns.group.replace(":dataset-group/", ":dataset/") + "/ITEMS"
    call(own.backend, "UpdateDataset", datasetArn=dataset, schemaArn=schema_arn)
    expression = 'EXCLUDE ItemID WHERE Items.KIND IN ("new")'
    kind = call(own.backend, "CreateFilter", name="k", datasetGroupArn=own.arns.group, filterExpression=expression)
    assert len(ask(**kind)) == ITEMS


def test_a_filter_on_a_dataset_without_data_finds_no_value_in_it(own: Jobs, ask: Ask, tmp_path: Path) -> None:
    """As for users of whom nothing is known, in a live answer and in a job."""
    text = schema("Users", USER_ID="string", AGE="int")
    given = call(own.backend, "CreateSchema", name="users", schema=text)
    call(own.backend, "CreateDataset", name="u", **given, datasetGroupArn=own.arns.group, datasetType="Users")
    expression = 'EXCLUDE ItemID WHERE Items.GENRES IN ("comedy") IF CurrentUser.AGE > 18'
    made = call(own.backend, "CreateFilter", name="adults", datasetGroupArn=own.arns.group, filterExpression=expression)
    assert len(ask(**made)) == ITEMS
    (tmp_path / "u.json").write_text('{"userId": "u0"}\n')
    job = own.infer(f"file://{tmp_path}/u.json", f"file://{tmp_path}/out/", numResults=ITEMS, **made)
    assert job["status"] == "ACTIVE", job
    (row,) = rows_of(tmp_path / "out" / "u.json.out")
    assert len(row["output"]["recommendedItems"]) == ITEMS


def test_a_filter_made_again_under_its_name_is_the_new_one(own: Jobs, ask: Ask) -> None:
    answers = []
    for genre in ("comedy", "drama"):
        expression = f'INCLUDE ItemID WHERE Items.GENRES IN ("{genre}")'
        made = call(own.backend, "CreateFilter", name="g", datasetGroupArn=own.arns.group, filterExpression=expression)
        answers.append(set(ask(**made)))
        call(own.backend, "DeleteFilter", **made)
    assert answers[0].isdisjoint(answers[1])
    assert len(answers[0] | answers[1]) == ITEMS


def test_answers_at_one_moment_are_the_answers_one_by_one(own: Jobs, ask: Ask, readings: list[Any]) -> None:
    users = [f"u{number}" for number in range(12)]

    def filtered(user: str) -> list[str]:
        return ask(userId=user, filterArn=own.arns.seen_filter)

    with ThreadPoolExecutor(6) as threads:
        at_once = list(threads.map(filtered, users))
    assert len(readings) == 1
    assert at_once == [filtered(user) for user in users]
