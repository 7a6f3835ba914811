"""The output of a finished job as a table: Parquet on disk and in S3, SQLite, PostgreSQL."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from airflow.sdk import Asset, AssetAlias
from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_provider_personalize._compat import AirflowOptionalProviderFeatureException
from airflow_provider_personalize.exceptions import PersonalizeInputError, PersonalizeOutputError
from airflow_provider_personalize.operators.output_table import PersonalizeBatchOutputToTableOperator
from airflow_provider_personalize.tables import sql

from .conftest import Collector, Log
from .places import Bucket, Disk
from .service import VERSION, Service

Context = Callable[..., dict[str, Any]]
Place = Disk | Bucket
USERS, SEGMENTS = "aws-user-personalization", "aws-item-affinity"


def scored(user: str, *items: str) -> dict[str, Any]:
    scores = [1 / (rank + 1) for rank in range(len(items))]
    return {"input": {"userId": user}, "output": {"recommendedItems": items, "scores": scores}, "error": None}


def finished_job(
    service: Service, place: Place, rows: list[dict[str, Any]], *, recipe: str = USERS, input_name: str = "rows.json"
) -> str:
    """One job, whatever its rows: calling this again changes what it answered. It was created in 2096."""
    place.put("in/rows.json", b"".join(orjson.dumps(row["input"]) + b"\n" for row in rows))
    place.put("out/rows.json.out", b"".join(orjson.dumps(row) + b"\n" for row in rows))
    service.add("solution-version", "1", arn=VERSION, recipeArn=f"arn:aws:personalize:::recipe/{recipe}")
    return service.add(
        "batch-segment-job" if recipe == SEGMENTS else "batch-inference-job",
        "nightly",
        solutionVersionArn=VERSION,
        jobInput={"s3DataSource": {"path": place.uri(f"in/{input_name}")}},
        jobOutput={"s3DataDestination": {"path": place.uri("out/")}},
        creationDateTime=4_000_000_000,
    )


def publish(context: dict[str, Any], job_arn: str, **arguments: Any) -> dict[str, Any]:
    return PersonalizeBatchOutputToTableOperator(task_id="publish", job_arn=job_arn, **arguments).execute(context)


def read_parquet(data: bytes) -> tuple[list[str], list[tuple[Any, ...]]]:
    import pyarrow as pa
    from pyarrow import parquet

    table = parquet.read_table(pa.BufferReader(data))
    return table.column_names, list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def test_a_parquet_file_has_a_row_for_each_result(place: Place, service: Service, context: Context) -> None:
    rows = [scored("a", "i", "j"), {"input": {"userId": "b"}, "output": None, "error": "no"}, scored("c", "k")]
    arn = finished_job(service, place, rows)
    found = publish(context(), arn, parquet_uri=place.uri("tables/day.parquet"))
    key = "nightly/infer/manual__1"
    assert read_parquet(place.get("tables/day.parquet")) == (
        ["run_key", "user_id", "rank", "item_id", "score"],
        [(key, "a", 1, "i", 1.0), (key, "a", 2, "j", 0.5), (key, "c", 1, "k", 1.0)],
    )
    assert found == {
        "job_arn": arn,
        "run_key": key,
        "rows": 2,
        "table_rows": 3,
        "failed_rows": 1,
        "empty_rows": 0,
        "parquet_uri": place.uri("tables/day.parquet"),
    }


@pytest.mark.parametrize("outlet", [Asset("recommendations"), AssetAlias("tables")])
def test_assets_and_lineage_are_told_of_the_file(
    place: Place, service: Service, context: Context, collector: Collector, outlet: Asset | AssetAlias
) -> None:
    arn, uri, here = finished_job(service, place, [scored("a", "i", "j")]), place.uri("day.parquet"), context()
    here["outlet_events"] = OutletEventAccessors()
    found = publish(here, arn, parquet_uri=uri, outlets=[outlet])
    event = here["outlet_events"][outlet]
    if isinstance(outlet, AssetAlias):
        (event,) = event.asset_alias_events
        assert event.dest_asset_key.uri == uri
    assert event.extra == {**found, "output_uri": uri}
    assert event.extra["table_rows"] == 2
    assert collector.seen == [("input", place.uri("out/")), ("output", uri)]


def test_a_second_run_replaces_the_file(place: Place, service: Service, context: Context) -> None:
    for items in (["i", "j"], ["k"]):
        arn = finished_job(service, place, [scored("a", *items)])
        publish(context(), arn, parquet_uri=place.uri("day.parquet"))
    assert [row[3] for row in read_parquet(place.get("day.parquet"))[1]] == ["k"]


def test_output_without_results_is_a_file_with_columns(tmp_path: Path, service: Service, context: Context) -> None:
    disk = Disk(tmp_path)
    arn = finished_job(service, disk, [scored("a")])
    assert publish(context(), arn, parquet_uri=disk.uri("t"))["empty_rows"] == 1
    assert read_parquet(disk.get("t")) == (["run_key", "user_id", "rank", "item_id", "score"], [])


def test_many_rows_become_row_groups(
    tmp_path: Path, service: Service, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    from airflow_provider_personalize.tables import parquet as writing

    monkeypatch.setattr(writing, "_GROUP_ROWS", 20_000)
    disk = Disk(tmp_path)
    arn = finished_job(service, disk, [scored(f"u{n}", *map(str, range(100))) for n in range(500)])
    publish(context(), arn, parquet_uri=disk.uri("t"))
    file = parquet.ParquetFile(pa.BufferReader(disk.get("t")))
    groups = [file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)]
    assert groups == [20_000, 20_000, 10_000]


def test_a_broken_output_publishes_nothing(tmp_path: Path, service: Service, context: Context) -> None:
    disk = Disk(tmp_path)
    arn = finished_job(service, disk, [scored("a", "i")])
    disk.put("t", b"before")
    disk.put("out/rows.json.out", disk.get("out/rows.json.out") + b"half a ro")
    with pytest.raises(PersonalizeOutputError, match=r"rows\.json\.out cannot be read: Line 2"):
        publish(context(), arn, parquet_uri=disk.uri("t"))
    assert disk.get("t") == b"before"


def test_an_output_that_is_not_there_is_named(tmp_path: Path, service: Service, context: Context) -> None:
    disk = Disk(tmp_path)
    arn = finished_job(service, disk, [scored("a", "i")])
    (tmp_path / "out/rows.json.out").unlink()
    with pytest.raises(PersonalizeOutputError, match=r"not there: .*rows\.json\.out"):
        publish(context(), arn, parquet_uri=disk.uri("t"))


def test_without_pyarrow_the_error_names_the_extra(
    tmp_path: Path, service: Service, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    disk = Disk(tmp_path)
    arn = finished_job(service, disk, [scored("a", "i")])
    with pytest.raises(AirflowOptionalProviderFeatureException, match=r"\[parquet\]"):
        publish(context(), arn, parquet_uri=disk.uri("t"))
    assert not (tmp_path / "t").exists()


class Database:
    """``rows(sql)`` of a database that the connection ``warehouse`` leads to."""

    def __init__(self, table: str, connect: Callable[[], Any]) -> None:
        self.table = table
        self._connect = connect

    def rows(self, text: str) -> list[tuple[Any, ...]]:
        with closing(self._connect()) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(text.format(table=self.table))
            found = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
            connection.commit()
            return found


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    if request.param == "sqlite":
        path = tmp_path / "warehouse.sqlite"
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(path)}))
        yield Database("recommendations", lambda: sqlite3.connect(path))
        return
    psycopg = pytest.importorskip("psycopg")
    place = {"host": "127.0.0.1", "port": 5432, "login": "root", "schema": "postgres"}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "postgres", **place}))

    def connect() -> Any:
        return psycopg.connect("postgresql://root@127.0.0.1:5432/postgres", connect_timeout=3)

    try:
        connect().close()
    except psycopg.OperationalError as error:
        pytest.skip(f"no PostgreSQL at 127.0.0.1:5432: {error}")
    database = Database(f"public.recommendations_{uuid4().hex[:8]}", connect)
    yield database
    database.rows("DROP TABLE IF EXISTS {table}")


ALL = "SELECT run_key, user_id, rank, item_id, score FROM {table} ORDER BY run_key, user_id, rank"


def test_a_table_is_made_and_a_run_replaces_its_own_rows_alone(
    tmp_path: Path, service: Service, context: Context, database: Database
) -> None:
    disk = Disk(tmp_path)
    target = {"sql_conn_id": "warehouse", "table": database.table}
    arn = finished_job(service, disk, [scored("a", "i", "j"), scored("b", "k")])
    publish(context(run_id="monday"), arn, **target)
    publish(context(run_id="tuesday"), arn, **target)
    arn = finished_job(service, disk, [scored("a", "z")])
    found = publish(context(run_id="tuesday"), arn, **target)
    monday, tuesday = "nightly/infer/monday", "nightly/infer/tuesday"
    assert database.rows(ALL) == [
        (monday, "a", 1, "i", 1.0),
        (monday, "a", 2, "j", 0.5),
        (monday, "b", 1, "k", 1.0),
        (tuesday, "a", 1, "z", 1.0),
    ]
    assert (found["table_rows"], found["table"]) == (1, database.table)


def test_a_run_that_breaks_leaves_the_rows_of_the_one_before(
    tmp_path: Path, service: Service, context: Context, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "_ROWS_A_STATEMENT", 1)
    disk = Disk(tmp_path)
    target = {"sql_conn_id": "warehouse", "table": database.table}
    arn = finished_job(service, disk, [scored("a", "i")])
    publish(context(), arn, **target)
    before = database.rows(ALL)
    rows = b"".join(orjson.dumps(scored(f"u{n}", *map(str, range(100)))) + b"\n" for n in range(300))
    disk.put("out/rows.json.out", rows + b"half a ro")
    with pytest.raises(PersonalizeOutputError, match="Line 301"):
        publish(context(), arn, **target)
    assert database.rows(ALL) == before


def test_mapped_tasks_and_other_tasks_keep_their_own_rows(
    tmp_path: Path, service: Service, context: Context, database: Database
) -> None:
    disk = Disk(tmp_path)
    arn = finished_job(service, disk, [scored("a", "i")])
    for given in ({"map_index": 0}, {"map_index": 1}, {"task_id": "other"}, {"map_index": 1}):
        publish(context(**given), arn, sql_conn_id="warehouse", table=database.table)
    assert [row[0] for row in database.rows(ALL)] == [
        "nightly/infer/manual__1/0",
        "nightly/infer/manual__1/1",
        "nightly/other/manual__1",
    ]


def test_a_run_key_of_ones_own_is_what_is_replaced(
    tmp_path: Path, service: Service, context: Context, database: Database
) -> None:
    disk = Disk(tmp_path)
    arn = finished_job(service, disk, [scored("a", "i")])
    for run_id in ("monday", "tuesday"):
        publish(context(run_id=run_id), arn, sql_conn_id="warehouse", table=database.table, run_key="newest")
    assert [row[0] for row in database.rows(ALL)] == ["newest"]


def test_an_input_that_was_archived_costs_no_published_rows(
    tmp_path: Path, service: Service, context: Context, database: Database
) -> None:
    disk = Disk(tmp_path)
    arn = finished_job(service, disk, [scored("a", "i", "j")])
    disk.put("t", b"before")
    publish(context(), arn, sql_conn_id="warehouse", table=database.table)
    before = database.rows(ALL)
    (tmp_path / "in/rows.json").rename(tmp_path / "archived.json")
    for target in ({"sql_conn_id": "warehouse", "table": database.table}, {"parquet_uri": disk.uri("t")}):
        with pytest.raises(PersonalizeOutputError, match=r"The input of .* is gone: .*Put the input back"):
            publish(context(), arn, **target)
    assert (database.rows(ALL), len(before), disk.get("t")) == (before, 2, b"before")

    (tmp_path / "archived.json").rename(tmp_path / "in/rows.json")
    assert publish(context(), arn, sql_conn_id="warehouse", table=database.table)["table_rows"] == 2


def test_an_object_that_came_after_the_job_is_not_waited_for(
    tmp_path: Path, service: Service, context: Context, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(PersonalizeBatchOutputToTableOperator, "log", Log(said))
    disk = Disk(tmp_path)
    arn = finished_job(service, disk, [scored("a", "i", "j")], input_name="")
    service.resources[arn]["creationDateTime"] = 1_000_000_000
    disk.put("in/tomorrow.json", b'{"userId": "b"}\n')
    assert publish(context(), arn, sql_conn_id="warehouse", table=database.table)["table_rows"] == 2
    assert publish(context(), arn, parquet_uri=disk.uri("t"))["table_rows"] == 2
    assert [row[1] for row in database.rows(ALL)] == [row[1] for row in read_parquet(disk.get("t"))[1]] == ["a", "a"]
    assert sum("Newer than the job" in line and "tomorrow.json" in line for line in said) == 2


def test_segments_are_rows_of_users(tmp_path: Path, service: Service, context: Context, database: Database) -> None:
    row = {"input": {"itemId": "i"}, "output": {"usersList": ["u", "v"]}, "error": None}
    arn = finished_job(service, Disk(tmp_path), [row], recipe=SEGMENTS)
    publish(context(), arn, sql_conn_id="warehouse", table=database.table)
    assert database.rows("SELECT item_id, rank, user_id FROM {table} ORDER BY rank") == [("i", 1, "u"), ("i", 2, "v")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "Give parquet_uri, or sql_conn_id and table"),
        ({"table": "t"}, "Give parquet_uri, or sql_conn_id and table"),
        ({"parquet_uri": "file:///t", "sql_conn_id": "warehouse", "table": "t"}, "Give parquet_uri, or"),
        ({"sql_conn_id": "aws_default", "table": "t"}, "leads to no database of common-sql"),
        ({"sql_conn_id": "warehouse", "table": "t; DROP TABLE t"}, "is no name of a table"),
        ({"parquet_uri": "/t"}, "is neither s3://bucket/key nor"),
    ],
)
def test_wrong_arguments_are_named(
    tmp_path: Path,
    service: Service,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, Any],
    said: str,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "w")}))
    arn = finished_job(service, Disk(tmp_path), [scored("a", "i")])
    with pytest.raises(PersonalizeInputError) as caught:
        publish(context(), arn, **arguments)
    assert said in str(caught.value)
