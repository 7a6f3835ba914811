"""Names are idempotency: what changes a name, what does not, and when two requests are the same."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from airflow_provider_personalize.operators.identity import Attempts, differences, fingerprint, numbered

ATTEMPTS = Attempts(dag_id="nightly", task_id="infer", run_id="manual__1", map_index=-1, generation=0)
REQUEST = {"numResults": 25, "tags": [{"tagKey": "a", "tagValue": "1"}, {"tagKey": "b", "tagValue": "2"}]}


def test_the_same_attempts_and_request_have_the_same_name() -> None:
    assert ATTEMPTS.name(REQUEST) == replace(ATTEMPTS).name(dict(reversed(REQUEST.items())))


def test_a_name_is_readable_and_ends_in_twelve_hex_digits() -> None:
    assert re.fullmatch(r"nightly-infer-[0-9a-f]{12}", ATTEMPTS.name(REQUEST))


@pytest.mark.parametrize(
    "other",
    [
        {"dag_id": "weekly"},
        {"task_id": "infer2"},
        {"run_id": "manual__2"},
        {"map_index": 0},
        {"generation": 1},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_task_instance_or_a_clear_has_another_name(other: dict[str, object]) -> None:
    assert replace(ATTEMPTS, **other).name(REQUEST)[-12:] != ATTEMPTS.name(REQUEST)[-12:]


def test_another_request_has_another_name() -> None:
    assert ATTEMPTS.name({"numResults": 26}) != ATTEMPTS.name({"numResults": 25})


@pytest.mark.parametrize("tags", [{}, {"tags": []}, {"tags": [{"tagKey": "a", "tagValue": "2"}]}])
def test_tags_are_no_part_of_the_request(tags: dict[str, object]) -> None:
    other = {"numResults": 25, **tags}
    assert ATTEMPTS.name(REQUEST) == ATTEMPTS.name(other)
    assert ATTEMPTS.fingerprint(REQUEST) == ATTEMPTS.fingerprint(other)


def test_a_fingerprint_stands_for_task_instance_and_request_over_clears() -> None:
    assert replace(ATTEMPTS, generation=3).fingerprint(REQUEST) == ATTEMPTS.fingerprint(REQUEST)
    assert replace(ATTEMPTS, map_index=1).fingerprint(REQUEST) != ATTEMPTS.fingerprint(REQUEST)
    assert ATTEMPTS.fingerprint({"numResults": 26}) != ATTEMPTS.fingerprint(REQUEST)


def test_the_prefix_comes_first_and_is_part_of_the_hash() -> None:
    name = ATTEMPTS.name(REQUEST, "staging-")
    assert name.startswith("staging-nightly-infer-")
    assert name[-12:] != ATTEMPTS.name(REQUEST)[-12:]


@pytest.mark.parametrize("dag_id", ["d" * 250, "größe.täglich", "...", "_-x", "a b/c"])
def test_every_dag_id_gives_a_name_that_the_service_takes_and_that_can_be_numbered(dag_id: str) -> None:
    name = replace(ATTEMPTS, dag_id=dag_id).name(REQUEST)
    assert re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9\-_]{0,58}", name)
    assert numbered(name, 999) == f"{name}-999"


def test_a_first_choice_has_no_number() -> None:
    assert [numbered("job", number) for number in (1, 2, 10)] == ["job", "job-2", "job-10"]


def test_a_long_name_is_cut_for_its_number_and_stays_apart_from_another_long_name() -> None:
    one, other = "n" * 62 + "a", "n" * 62 + "b"
    assert len(numbered(one, 2)) == 63
    assert numbered(one, 2).endswith("-2")
    assert numbered(one, 2) != numbered(other, 2)


def test_a_fingerprint_takes_values_that_json_does_not_know() -> None:
    assert fingerprint({"role": object}) == fingerprint({"role": object})


@pytest.mark.parametrize(
    ("wanted", "existing"),
    [
        ({"numResults": 25}, {"numResults": 25, "status": "ACTIVE", "batchInferenceJobMode": "BATCH_INFERENCE"}),
        ({"a": {"b": "0.30"}}, {"a": {"b": "0.3", "c": "30"}}),
        ({"weight": 1}, {"weight": 1.0}),
        ({"publish": False}, {}),
        ({"tags": [{"tagKey": "a", "tagValue": "1"}]}, {}),
    ],
    ids=["defaults echoed", "numbers as text", "whole doubles", "false not echoed", "tags not described"],
)
def test_an_existing_resource_is_the_same_when_all_that_was_asked_for_is_there(
    wanted: dict[str, object], existing: dict[str, object]
) -> None:
    assert differences(wanted, existing) == []


@pytest.mark.parametrize(
    ("wanted", "existing", "said"),
    [
        ({"numResults": 25}, {"numResults": 10}, "numResults: asked for 25, the existing one has 10"),
        ({"filterArn": "f"}, {}, "filterArn: asked for 'f', the existing one has None"),
        ({"a": {"b": {"c": "x"}}}, {"a": {"b": {"c": "y"}}}, "a.b.c: asked for 'x', the existing one has 'y'"),
        ({"publish": True}, {"publish": 1.5}, "publish: asked for True, the existing one has 1.5"),
    ],
)
def test_a_difference_names_the_field_and_both_values(
    wanted: dict[str, object], existing: dict[str, object], said: str
) -> None:
    assert [str(found) for found in differences(wanted, existing)] == [said]
