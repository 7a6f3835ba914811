"""An input beyond a job's quotas, written as parts that are not: on disk and in S3."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_personalize.exceptions import PersonalizeBatchInputError, PersonalizeInputError
from airflow_provider_personalize.operators.batch_jobs import PersonalizeBatchSegmentJobOperator
from airflow_provider_personalize.operators.check_output import PersonalizeCheckBatchOutputOperator
from airflow_provider_personalize.operators.split_input import PersonalizeSplitBatchInputOperator
from airflow_provider_personalize.operators.validate_input import PersonalizeValidateBatchInputOperator

from .conftest import Collector
from .places import Bucket, Disk
from .service import SOLUTION, VERSION, Service

Context = Callable[..., dict[str, Any]]
Place = Disk | Bucket
FANS, QUERIES = "aws-item-affinity", "aws-item-attribute-affinity"


def items(first: int, end: int) -> bytes:
    return b"".join(b'{"itemId": "%d"}\n' % number for number in range(first, end))


def split(context: dict[str, Any], place: Place, **arguments: Any) -> list[str]:
    given = {"input_uri": place.uri("in/"), "parts_uri": place.uri("parts"), "recipe": FANS, **arguments}
    return PersonalizeSplitBatchInputOperator(task_id="split", **given).execute(context)


def test_each_part_is_one_object_in_a_folder_of_its_own_and_a_job_takes_it(place: Place, context: Context) -> None:
    place.put("in/a.json", items(0, 700))
    place.put("in/b/c.json", items(700, 1100))
    parts = split(context(), place)
    names = ["part-0000/input.json", "part-0001/input.json", "part-0002/input.json"]
    assert parts == [place.uri(f"parts/{name}") for name in names]
    assert [name for name in place.names() if name.startswith("parts/")] == [f"parts/{name}" for name in names]
    assert [place.get(f"parts/{name}") for name in names] == [items(0, 500), items(500, 1000), items(1000, 1100)]
    for part, rows in zip(parts, (500, 500, 100), strict=True):
        check = PersonalizeValidateBatchInputOperator(task_id="check", input_uri=part, recipe=FANS)
        assert check.execute(context())["rows"] == rows


def test_objects_that_a_prefix_matches_are_read_in_the_order_of_keys(place: Place, context: Context) -> None:
    place.put("in/b", b'{"itemId": "2"}')
    place.put("in/a", b'{"itemId": "1"}\r\n\n')
    place.put("in-old/c", b'{"itemId": "0"}\n')
    (part,) = split(context(), place, input_uri=place.uri("in"))
    assert part == place.uri("parts/part-0000/input.json")
    assert place.get("parts/part-0000/input.json") == b'{"itemId": "0"}\n{"itemId": "1"}\r\n{"itemId": "2"}\n'


@pytest.fixture
def disk(tmp_path: Any) -> Disk:
    place = Disk(tmp_path)
    place.put("in/a.json", items(0, 230))
    return place


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        ({}, [230]),
        ({"recipe": QUERIES}, [10] * 23),
        ({"recipe": "aws-similar-items", "batch_inference_job_mode": "THEME_GENERATION"}, [100, 100, 30]),
        ({"recipe": "aws-similar-items"}, [230]),
        ({"max_rows": "150"}, [150, 80]),
        ({"max_rows": 1_000_000, "recipe": QUERIES}, [10] * 23),
    ],
)
def test_a_part_has_the_rows_that_recipe_and_mode_let_a_file_have_or_fewer(
    disk: Disk, context: Context, arguments: dict[str, Any], rows: list[int]
) -> None:
    parts = split(context(), disk, **arguments)
    assert [disk.get(part.removeprefix(disk.uri(""))).count(b"\n") for part in parts] == rows


def test_the_recipe_is_that_of_the_model(disk: Disk, context: Context, service: Service) -> None:
    recipe = {"recipeArn": f"arn:aws:personalize:::recipe/{QUERIES}"}
    service.add("solution", "for-you", **recipe)
    service.add("solution-version", "1", arn=VERSION, **recipe)
    for named in ({"solution_version_arn": VERSION}, {"solution_arn": SOLUTION}):
        assert len(split(context(), disk, recipe=None, **named)) == 23


def test_another_attempt_replaces_its_parts_and_removes_those_beyond(place: Place, context: Context) -> None:
    place.put("in/a.json", items(0, 5))
    assert len(split(context(), place, max_rows=1)) == 5
    kept = ("parts/part-0004/notes.txt", "parts/part-00003/input.json", "parts/part-0003/input.json.out")
    for name in kept:
        place.put(name, b"somebody else's")
    first = split(context(), place, max_rows=3)
    assert split(context(), place, max_rows=3) == first
    found = [name for name in place.names() if name.startswith("parts/")]
    assert found == sorted([*kept, "parts/part-0000/input.json", "parts/part-0001/input.json"])
    assert place.get("parts/part-0001/input.json") == items(3, 5)


def test_a_part_that_could_not_be_written_whole_is_not_there(
    place: Place, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.put("in/a.json", items(0, 3) + b"x" * (16 * 1024 * 1024 + 1))
    with pytest.raises(PersonalizeBatchInputError, match=r"a\.json, line 4 is longer than") as caught:
        split(context(), place, max_rows=2)
    assert caught.value.report["input_files"] == ["a.json"]
    assert [name for name in place.names() if name.startswith("parts/")] == ["parts/part-0000/input.json"]


def test_no_more_is_held_than_what_is_read_at_a_time(tmp_path: Any, context: Context) -> None:
    disk = Disk(tmp_path)
    disk.put("in/a.json", (b'{"itemId": "' + b"i" * 250 + b'"}\n') * 60_000)  # 16 MB
    tracemalloc.start()
    try:
        split(context(), disk, recipe="aws-sims")
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("input_name", "parts"), [("in/", "in"), ("in", "in/parts/"), ("in", "in-parts"), ("in/a.json", "in/a.json")]
)
def test_parts_must_not_lie_where_the_input_matches(disk: Disk, context: Context, input_name: str, parts: str) -> None:
    with pytest.raises(PersonalizeInputError, match="lies in the input"):
        split(context(), disk, input_uri=disk.uri(input_name), parts_uri=disk.uri(parts))


def test_a_part_is_not_split_into_its_own_place(disk: Disk, context: Context) -> None:
    (part,) = split(context(), disk)
    with pytest.raises(PersonalizeInputError, match="is itself a part in"):
        split(context(), disk, input_uri=part, max_rows=10)
    assert len(split(context(), disk, input_uri=part, parts_uri=disk.uri("smaller"), max_rows=10)) == 23


@pytest.mark.parametrize("body", [None, b"", b"\n \n"])
def test_an_input_without_rows_has_no_parts_and_costs_none(tmp_path: Any, context: Context, body: bytes | None) -> None:
    disk = Disk(tmp_path)
    disk.put("parts/part-0000/input.json", b"before")
    if body is not None:
        disk.put("in/a.json", body)
    with pytest.raises(PersonalizeBatchInputError, match="holds no rows" if body is not None else "matches no object"):
        split(context(), disk)
    assert disk.get("parts/part-0000/input.json") == b"before"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"recipe": None}, "Give one of recipe, solution_version_arn and solution_arn"),
        ({"recipe": "aws-trending-now"}, "no batch job takes it"),
        ({"max_rows": "0"}, "max_rows must be 1 or more"),
        ({"max_rows": "many"}, "max_rows must be a whole number"),
        ({"parts_uri": "None"}, "parts_uri is 'None'"),
        ({"parts_uri": "/parts"}, "is neither s3://bucket/key nor"),
    ],
)
def test_wrong_arguments_are_named(disk: Disk, context: Context, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(PersonalizeInputError) as caught:
        split(context(), disk, **arguments)
    assert said in str(caught.value)


def test_lineage_names_what_was_read_and_written(disk: Disk, context: Context, collector: Collector) -> None:
    split(context(), disk)
    assert collector.seen == [("input", disk.uri("in/")), ("output", disk.uri("parts/"))]


def test_a_job_is_mapped_over_the_parts_and_what_follows_over_the_jobs() -> None:
    with DAG("campaign") as dag:
        parts = PersonalizeSplitBatchInputOperator(
            task_id="split", input_uri="s3://b/in/", parts_uri="s3://b/parts/{{ run_id }}/", solution_arn=SOLUTION
        )
        jobs = PersonalizeBatchSegmentJobOperator.partial(
            task_id="segments", solution_arn=SOLUTION, output_uri="s3://b/out/{{ run_id }}/{{ ti.map_index }}/"
        ).expand(input_uri=parts.output)
        PersonalizeCheckBatchOutputOperator.partial(task_id="check").expand(job_arn=jobs.output)
    assert dag.get_task("segments").upstream_task_ids == {"split"}
    assert dag.get_task("check").upstream_task_ids == {"segments"}
    third = jobs.unmap({"input_uri": "s3://b/parts/r/part-0002/input.json"})
    assert isinstance(third, PersonalizeBatchSegmentJobOperator)
    assert (third.input_uri, third.output_uri) == (
        "s3://b/parts/r/part-0002/input.json",
        "s3://b/out/{{ run_id }}/{{ ti.map_index }}/",
    )


def test_several_inputs_are_split_by_one_mapped_task() -> None:
    with DAG("campaigns"):
        each = PersonalizeSplitBatchInputOperator.partial(task_id="split", recipe=FANS).expand_kwargs(
            [{"input_uri": f"s3://b/{name}.json", "parts_uri": f"s3://b/parts/{name}/"} for name in ("spring", "sale")]
        )
    assert each.unmap({"input_uri": "s3://b/sale.json", "parts_uri": "s3://b/parts/sale/"}).parts_uri == (
        "s3://b/parts/sale/"
    )
