"""Records put one by one are seen by training, filters and exports; exports are read back; deleted users are gone."""

from __future__ import annotations

import csv
import json
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from airflow_provider_personalize.local import wire
from airflow_provider_personalize.local.backend import Backend, open_backend
from airflow_provider_personalize.local.work.dataset_group import bulk_files, datasets_of
from tests.backends import INTERACTIONS_SCHEMA, ROLE, Refused, call, run_jobs, schema
from tests.jobs.conftest import Jobs, rows_of

BASE = "arn:aws:personalize:us-east-1:000000000000:"
TRACKS = schema(
    "Items",
    ITEM_ID="string",
    GENRES={"type": ["null", "string"], "categorical": True},
    LONG_TITLE={"type": ["null", "string"]},
    YEAR={"type": ["null", "int"]},
    PRICE={"type": ["null", "double"]},
)
USERS = schema("Users", USER_ID="string", AGE={"type": ["null", "int"]})
AWKWARD = 'a "quoted",",comma\\ and \\" backslash\nand é'


class Group:
    """A dataset group with interactions, items and users, and what is done to it."""

    def __init__(self, root: Path) -> None:
        (root / "settings.toml").write_text("minimum_interactions = 1\n")
        self.root = root
        self.backend: Backend = open_backend(root)
        self.arn = call(self.backend, "CreateDatasetGroup", name="g")["datasetGroupArn"]
        for kind, text in (("INTERACTIONS", INTERACTIONS_SCHEMA), ("ITEMS", TRACKS), ("USERS", USERS)):
            arn = call(self.backend, "CreateSchema", name=kind, schema=text)
            call(self.backend, "CreateDataset", name=kind, **arn, datasetGroupArn=self.arn, datasetType=kind)
        self.tracking_id = call(self.backend, "CreateEventTracker", name="t", datasetGroupArn=self.arn)["trackingId"]

    def dataset(self, kind: str) -> str:
        return f"{BASE}dataset/g/{kind}"

    def load(self, kind: str, text: str, mode: str = "FULL") -> str:
        name = f"import-{secrets.token_hex(4)}"
        path = self.root / f"{name}.csv"
        path.write_text(text)
        return self.load_from(kind, path, name, mode)

    def load_from(self, kind: str, path: Path, name: str, mode: str = "FULL") -> str:
        source = {"dataLocation": f"file://{path}"}
        request = {"jobName": name, "datasetArn": self.dataset(kind), "dataSource": source, "importMode": mode}
        arn = call(self.backend, "CreateDatasetImportJob", **request)
        run_jobs(self.backend)
        job = call(self.backend, "DescribeDatasetImportJob", **arn)["datasetImportJob"]
        assert job["status"] == "ACTIVE", job
        return name

    def put_events(self, *events: tuple[str, int], user: str | None, session: str = "s", **more: Any) -> None:
        given = [{"eventType": "watch", "itemId": item, "sentAt": at, **more} for item, at in events]
        request: dict[str, Any] = {"trackingId": self.tracking_id, "sessionId": session, "eventList": given}
        at_wire(self.backend, "/events", request | ({"userId": user} if user else {}))

    def put_item(self, item: str, **properties: Any) -> None:
        items = [{"itemId": item, "properties": json.dumps(properties)}]
        at_wire(self.backend, "/items", {"datasetArn": self.dataset("ITEMS"), "items": items})

    def put_user(self, user: str, **properties: Any) -> None:
        users = [{"userId": user, "properties": json.dumps(properties)}]
        at_wire(self.backend, "/users", {"datasetArn": self.dataset("USERS"), "users": users})

    def export(self, kind: str, mode: str | None = None) -> tuple[Path, list[dict[str, str]]]:
        """The file that an export writes, and its rows."""
        name = f"export-{secrets.token_hex(4)}"
        output = {"s3DataDestination": {"path": f"file://{self.root}/export"}}
        request = {"jobName": name, "datasetArn": self.dataset(kind), "roleArn": ROLE, "jobOutput": output}
        arn = call(self.backend, "CreateDatasetExportJob", **request, **({"ingestionMode": mode} if mode else {}))
        run_jobs(self.backend)
        job = call(self.backend, "DescribeDatasetExportJob", **arn)["datasetExportJob"]
        assert (job["status"], job["ingestionMode"]) == ("ACTIVE", mode or "PUT"), job
        path = self.root / "export" / f"{name}.csv"
        with path.open(newline="") as file:
            return path, list(csv.DictReader(file))

    def forget(self, text: str, name: str = "users.csv") -> dict[str, Any]:
        (self.root / name).write_text(text)
        source = {"dataLocation": f"file://{self.root}/{name}"}
        request = {"jobName": f"d-{secrets.token_hex(4)}", "datasetGroupArn": self.arn, "roleArn": ROLE}
        arn = call(self.backend, "CreateDataDeletionJob", **request, dataSource=source)
        assert call(self.backend, "DescribeDataDeletionJob", **arn)["dataDeletionJob"]["status"] == "PENDING"
        run_jobs(self.backend)
        job: dict[str, Any] = call(self.backend, "DescribeDataDeletionJob", **arn)["dataDeletionJob"]
        return job


def at_wire(backend: Backend, path: str, request: dict[str, Any]) -> None:
    answer = wire.handle(backend, "", json.dumps(request).encode(), region="us-east-1", path=path)
    if answer.status != 200:
        body = json.loads(answer.body)
        raise Refused(body["__type"], body["message"])


@pytest.fixture
def group(tmp_path: Path) -> Group:
    return Group(tmp_path)


HEADER = "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE\n"


class TestPuttingRecords:
    def test_training_sees_imports_and_what_was_put_since(self, group: Group) -> None:
        group.load("INTERACTIONS", HEADER + "u1,i1,100,watch\n")
        group.put_events(("i2", 200), ("i3", 300), user="u1")
        interactions = datasets_of(group.backend, group.arn).interactions
        assert interactions["ITEM_ID"].to_list() == ["i1", "i2", "i3"]
        assert interactions["TIMESTAMP"].to_list() == [100, 200, 300]

    def test_a_full_import_replaces_imports_and_not_what_was_put(self, group: Group) -> None:
        group.load("INTERACTIONS", HEADER + "u1,i1,100,watch\n")
        group.put_events(("i2", 200), user="u1")
        group.load("INTERACTIONS", HEADER + "u1,i9,900,watch\n")
        assert datasets_of(group.backend, group.arn).interactions["ITEM_ID"].to_list() == ["i9", "i2"]

    def test_interactions_may_all_have_been_put(self, group: Group) -> None:
        group.put_events(("i2", 200), user="u1")
        assert len(datasets_of(group.backend, group.arn).interactions) == 1

    def test_a_session_belongs_to_the_user_it_names_later(self, group: Group) -> None:
        group.put_events(("i1", 100), user=None, session="mine")
        group.put_events(("i2", 200), user=None, session="nobodys")
        assert group.export("INTERACTIONS")[1] == []
        group.put_events(("i3", 300), user="u1", session="mine")
        rows = group.export("INTERACTIONS")[1]
        assert [(row["USER_ID"], row["ITEM_ID"]) for row in rows] == [("u1", "i1"), ("u1", "i3")]

    def test_an_item_that_is_put_again_is_replaced(self, group: Group) -> None:
        group.load("INTERACTIONS", HEADER + "u1,i1,100,watch\n")
        group.load("ITEMS", "ITEM_ID,GENRES,LONG_TITLE,YEAR,PRICE\ni1,old,Old,1999,1.5\ni2,kept,,,\n")
        group.put_item("i1", genres=["a", "b"], longTitle="New", year=2001, price=2)
        items = datasets_of(group.backend, group.arn).items
        assert items is not None
        assert sorted(items.rows()) == [("i1", "a|b", "New", 2001, 2.0), ("i2", "kept", None, None, None)]

    @pytest.mark.parametrize(
        ("properties", "said"),
        [
            ({"year": "1999"}, "YEAR must be of type int or null"),
            ({"year": 1.5}, "YEAR must be"),
            ({"year": 2**40}, "YEAR must be"),
            ({"price": True}, "PRICE must be"),
            ({"genres": [1]}, "GENRES must be of type string"),
            ({"longTitle": ["a"]}, "LONG_TITLE must be of type string"),
            ({"colour": "red"}, "no such field"),
        ],
    )
    def test_a_property_that_does_not_fit_the_schema_is_refused(
        self, group: Group, properties: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(Refused, match=said) as refused:
            group.put_item("i1", **properties)
        assert refused.value.code == "InvalidInputException"
        assert group.backend.store.records_of(group.dataset("ITEMS")) == []

    @pytest.mark.parametrize(
        ("sent_at", "said"),
        [(1_700_000_000_000, "It looks like milliseconds"), (-1, "no time|not a time"), (10**18, "not a time")],
    )
    def test_a_time_that_an_import_would_refuse_is_refused(self, group: Group, sent_at: int, said: str) -> None:
        with pytest.raises(Refused, match=said) as refused:
            group.put_events(("i1", 100), ("i2", sent_at), user="u1")
        assert refused.value.code == "InvalidInputException"
        assert group.backend.store.records_of(group.dataset("INTERACTIONS")) == []

    def test_a_text_that_an_import_would_refuse_is_refused(self, group: Group) -> None:
        group.put_item("i1", longTitle="x" * 1000)
        for properties in ({"longTitle": "x" * 1001}, {"genres": ["x" * 500, "y" * 500]}):
            with pytest.raises(Refused, match="Length cannot be more than 1000 characters"):
                group.put_item("i1", **properties)

    def test_an_empty_text_is_no_value_as_an_empty_cell_is_none(self, group: Group) -> None:
        group.put_item("i1", longTitle="")
        assert group.export("ITEMS")[1][0]["LONG_TITLE"] == ""

    def test_properties_that_are_no_json_object_are_refused(self, group: Group) -> None:
        for text in ("{", "[]", '"a"'):
            items = [{"itemId": "i1", "properties": text}]
            with pytest.raises(Refused, match="JSON"):
                at_wire(group.backend, "/items", {"datasetArn": group.dataset("ITEMS"), "items": items})


def test_a_filter_sees_an_event_that_was_put_after_the_training(
    jobs: Jobs, users: Callable[..., Path], tmp_path: Path
) -> None:
    source = users("u3")
    filter_ = jobs.arns.seen_filter
    jobs.infer(f"file://{source}", f"file://{tmp_path}/before/", filterArn=filter_, numResults=1)
    (before,) = rows_of(tmp_path / "before" / "users.json.out")
    best = before["output"]["recommendedItems"][0]

    tracker = call(jobs.backend, "CreateEventTracker", name="t", datasetGroupArn=jobs.arns.group)
    event = {"eventType": "watch", "itemId": best, "sentAt": 1_800_000_000}
    request = {"trackingId": tracker["trackingId"], "sessionId": "s", "userId": "u3", "eventList": [event]}
    at_wire(jobs.backend, "/events", request)

    jobs.infer(f"file://{source}", f"file://{tmp_path}/after/", filterArn=filter_, numResults=1)
    (after,) = rows_of(tmp_path / "after" / "users.json.out")
    assert after["output"]["recommendedItems"] != [best]


class TestExporting:
    @pytest.mark.parametrize(
        ("mode", "items"), [("BULK", ["i1", "i2"]), ("PUT", ["i3"]), (None, ["i3"]), ("ALL", ["i1", "i2", "i3"])]
    )
    def test_the_ingestion_mode_decides_what_is_written(self, group: Group, mode: str | None, items: list[str]) -> None:
        group.load("INTERACTIONS", HEADER + "u1,i1,100,watch\nu1,i2,200,watch\n")
        group.put_events(("i3", 300), user="u1")
        assert [row["ITEM_ID"] for row in group.export("INTERACTIONS", mode)[1]] == items

    def test_nothing_to_export_is_a_file_with_a_header(self, group: Group) -> None:
        for mode in ("BULK", "PUT", "ALL"):
            path, rows = group.export("USERS", mode)
            assert (path.read_text(), rows) == ("USER_ID,AGE\n", [])

    def test_what_was_exported_is_imported_as_it_was(self, group: Group) -> None:
        group.load("INTERACTIONS", HEADER + "u1,i1,100,watch\n")
        for item, title in (("i1", AWKWARD), ("i2", "\\"), ("i3", None), ("i4", "plain")):
            group.put_item(item, longTitle=title, year=-7, price=0.1)
        before = datasets_of(group.backend, group.arn).items
        path, _ = group.export("ITEMS", "PUT")
        group.load_from("ITEMS", path, "again")
        dataset = group.backend.store.get(group.dataset("ITEMS"))
        assert dataset is not None
        assert before is not None
        (imported,) = bulk_files(group.backend, dataset)
        assert pl.read_ipc(imported).rows() == before.rows()


class TestDeletingUsers:
    def test_a_user_leaves_imports_and_put_records(self, group: Group) -> None:
        group.load("INTERACTIONS", HEADER + "u1,i1,100,watch\nu2,i1,100,watch\nu1,i2,200,watch\n")
        group.load("INTERACTIONS", HEADER + "u3,i1,100,watch\nu1,i1,100,watch\n", "INCREMENTAL")
        group.load("USERS", "USER_ID,AGE\nu1,40\nu2,41\n")
        group.put_events(("i5", 500), user="u1")
        group.put_events(("i5", 500), user="u2")
        group.put_user("u1", age=42)
        job = group.forget("USER_ID\nu1\nu1\nnobody\n")
        assert (job["status"], job["numDeleted"]) == ("COMPLETED", 6)
        datasets = datasets_of(group.backend, group.arn)
        assert sorted(datasets.interactions["USER_ID"].to_list()) == ["u2", "u2", "u3"]
        assert datasets.users is not None
        assert datasets.users["USER_ID"].to_list() == ["u2"]

    def test_a_user_is_named_as_in_an_import(self, group: Group) -> None:
        rows = {'"dom\\\\ain"': "dom\\ain", '"say \\"hi\\""': 'say "hi"', "plain": "plain"}
        group.load("USERS", "USER_ID,AGE\n" + "".join(f"{cell},40\n" for cell in rows))
        kept = datasets_of(group.backend, group.arn).users
        assert kept is not None
        assert set(kept["USER_ID"]) == set(rows.values())
        assert group.forget("NAME,USER_ID\n" + "".join(f"x,{cell}\n" for cell in rows))["numDeleted"] == len(rows)

    def test_what_a_user_did_before_her_session_knew_her_goes_too(self, group: Group) -> None:
        group.put_events(("i1", 100), user=None, session="hers")
        group.put_events(("i2", 200), user="u1", session="hers")
        group.put_events(("i3", 300), user=None, session="his")
        group.put_events(("i4", 400), user="u1", session="his")
        group.put_events(("i5", 500), user="u2", session="his")  # whoever came last has the session
        group.put_events(("i6", 600), user=None, session="nobodys")
        assert group.forget("USER_ID\nu1\n")["numDeleted"] == 3
        kept = group.backend.store.records_of(group.dataset("INTERACTIONS"))
        assert [record["ITEM_ID"] for record in kept] == ["i3", "i5", "i6"]

    @pytest.mark.parametrize(
        ("text", "name", "said"),
        [
            ("ID\nu1\n", "users.csv", r"missing the following columns:\[USER_ID\]"),
            ("", "users.csv", "users.csv: the file is empty"),
            ("USER_ID\nu1\n" + "u" * 257 + "\n", "users.csv", "users.csv, line 3"),
            ("USER_ID\nu1\n", "users.txt", "matches no CSV file"),
        ],
    )
    def test_a_list_that_is_none_fails_the_job(self, group: Group, text: str, name: str, said: str) -> None:
        job = group.forget(text, name)
        assert job["status"] == "FAILED"
        assert re.search(said, job["failureReason"])
