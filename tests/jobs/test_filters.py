"""Filters through whole jobs: an expression and rows in, what it leaves and row errors out."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_personalize.local.backend import Backend, open_backend
from tests.backends import INTERACTIONS_SCHEMA, ROLE, Refused, batch_request, call, run_jobs, schema, train, write_data
from tests.jobs.conftest import rows_of

SCHEMAS = {
    "INTERACTIONS": INTERACTIONS_SCHEMA,
    "ITEMS": schema("Items", ITEM_ID="string", GENRES={"type": "string", "categorical": True}, PRICE="int"),
    "USERS": schema("Users", USER_ID="string", AGE="int"),
}
COMEDIES, DRAMAS = ({f"i{item}" for item in range(40) if item % 2 == odd} for odd in (0, 1))  # PRICE is the number


@dataclass
class Group:
    """A dataset group; its recipes are trained when first asked for."""

    backend: Backend
    arn: str
    versions: dict[str, str] = field(default_factory=dict)

    def create(self, expression: str) -> str:
        name = f"f-{secrets.token_hex(4)}"
        arn = call(self.backend, "CreateFilter", name=name, datasetGroupArn=self.arn, filterExpression=expression)
        return str(arn["filterArn"])

    def run(
        self, folder: Path, recipe: str, expression: str | None, *lines: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[Any]]:
        """(the job, for each row its set of ids or the text of its error) with as many results as there are."""
        if recipe not in self.versions:
            self.versions[recipe] = train(self.backend, self.arn, recipe)
        source = folder / "in" / "rows.json"
        source.parent.mkdir(exist_ok=True)
        source.write_text("".join(json.dumps(line) + "\n" for line in lines))
        kind = "Segment" if "affinity" in recipe else "Inference"
        request = batch_request(
            self.versions[recipe], f"job-{secrets.token_hex(4)}", f"file://{source}", f"file://{folder}/out/"
        )
        if expression is not None:
            request["filterArn"] = self.create(expression)
        created = call(self.backend, f"CreateBatch{kind}Job", **request, numResults=100)
        run_jobs(self.backend)
        (job,) = call(self.backend, f"DescribeBatch{kind}Job", **created).values()
        if job["status"] != "ACTIVE":
            return job, []
        rows = rows_of(folder / "out" / "rows.json.out")
        assert [row["input"] for row in rows] == list(lines)
        return job, [row["error"]["errorMessage"] if row["error"] else ids_of(row) for row in rows]


def ids_of(row: Mapping[str, Any]) -> set[str]:
    return set(row["output"].get("recommendedItems") or row["output"].get("usersList") or ())


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Group:
    root = tmp_path_factory.mktemp("filters")
    backend = open_backend(root)
    write_data(root / "data")
    items = (f"i{item},{['comedy', 'drama'][item % 2]}|film,{item}\n" for item in range(40))
    (root / "data" / "items.csv").write_text("ITEM_ID,GENRES,PRICE\n" + "".join(items))
    (root / "data" / "users.csv").write_text(
        "USER_ID,AGE\n" + "".join(f"u{user},{user}\n" for user in range(50))  # u50 to u59 are not in it
    )
    arn = call(backend, "CreateDatasetGroup", name="filters")["datasetGroupArn"]
    for kind, text in SCHEMAS.items():
        schema_arn = call(backend, "CreateSchema", name=kind, schema=text)["schemaArn"]
        created = call(backend, "CreateDataset", name=kind, schemaArn=schema_arn, datasetGroupArn=arn, datasetType=kind)
        source = {"dataLocation": f"file://{root}/data/{kind.lower()}.csv"}
        call(backend, "CreateDatasetImportJob", jobName=kind, **created, dataSource=source, roleArn=ROLE)
    run_jobs(backend)
    return Group(backend, arn)


def user(name: str, **values: str) -> dict[str, Any]:
    return {"userId": name, "filterValues": values} if values else {"userId": name}


def test_each_row_brings_its_own_values(group: Group, tmp_path: Path) -> None:
    _, rows = group.run(
        tmp_path,
        "aws-user-personalization",
        "INCLUDE ItemID WHERE Items.GENRES IN ($GENRES) AND Items.PRICE < $PRICE",
        user("u1", GENRES='"comedy"', PRICE="10"),
        user("u1", GENRES='"drama","comedy"', PRICE='"4"'),
        user("stranger", GENRES='"drama"', PRICE="3.5"),
    )
    assert rows == [{"i0", "i2", "i4", "i6", "i8"}, {"i0", "i1", "i2", "i3"}, {"i1", "i3"}]


def test_a_row_without_the_values_it_needs_costs_that_row_and_says_which_line(group: Group, tmp_path: Path) -> None:
    job, rows = group.run(
        tmp_path,
        "aws-user-personalization",
        "INCLUDE ItemID WHERE Items.GENRES IN ($GENRES)",
        user("u1", GENRES='"comedy"'),
        user("u1"),
        user("u1", GENRES="comedy"),
        user("u1", GENRES='"comedy"', GENRE='"drama"'),
        {"userId": "u1", "filterValues": {"GENRES": ["comedy"]}},
        user("u2", GENRES='"drama"'),
    )
    assert job["status"] == "ACTIVE"
    assert (rows[0], rows[5]) == (COMEDIES, DRAMAS)
    assert rows[1] == 'Line 2: "filterValues".GENRES is missing: an INCLUDE of the filter needs $GENRES'
    assert rows[2].startswith('Line 3: "filterValues".GENRES: Expected a value in double quotes')
    assert rows[3] == 'Line 4: "filterValues".GENRE is no placeholder of the filter, which has $GENRES'
    assert rows[4].startswith('Line 5: "filterValues".GENRES must be a JSON string')


def test_what_an_exclude_misses_excludes_nothing(group: Group, tmp_path: Path) -> None:
    expression = "EXCLUDE ItemID WHERE Items.GENRES IN ($GENRES)"
    rows = (user("u1"), user("u1", GENRES='"drama"'))
    _, answers = group.run(tmp_path, "aws-user-personalization", expression, *rows)
    assert answers == [COMEDIES | DRAMAS, COMEDIES]


def test_without_a_filter_nothing_is_excluded_and_filter_values_do_nothing(group: Group, tmp_path: Path) -> None:
    _, rows = group.run(tmp_path, "aws-user-personalization", None, user("u1"), user("u1", GENRES='"drama"'))
    assert rows == [COMEDIES | DRAMAS] * 2


def test_the_current_user_decides_whether_a_clause_counts(group: Group, tmp_path: Path) -> None:
    expression = (
        'EXCLUDE ItemID WHERE Items.GENRES IN ("drama") IF CurrentUser.AGE < 18'
        ' | EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch")'
    )
    _, rows = group.run(tmp_path, "aws-user-personalization", expression, *map(user, ("u4", "u40", "u50", "stranger")))
    # All have seen all comedies but two, of which each lacks others; u50 and the stranger have no AGE.
    assert [len(row) for row in rows] == [2, 22, 22, 40]
    assert [row >= DRAMAS for row in rows] == [False, True, True, True]


def test_the_current_item_is_the_row_s(group: Group, tmp_path: Path) -> None:
    expression = "INCLUDE ItemID WHERE Items.GENRES IN CurrentItem.GENRES AND Items.PRICE > CurrentItem.PRICE"
    _, rows = group.run(tmp_path, "aws-sims", expression, {"itemId": "i35"}, {"itemId": "i34"}, {"itemId": "new"})
    assert rows == [{"i37", "i39"}, {"i36", "i38"}, set()]


def test_segments_are_filtered_by_users_and_their_events(group: Group, tmp_path: Path) -> None:
    expression = 'INCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("watch") | EXCLUDE UserID WHERE Users.AGE >= $AGE'
    row = {"itemId": "i1", "filterValues": {"AGE": "3"}}
    _, (segment,) = group.run(tmp_path, "aws-item-affinity", expression, row)
    assert segment == {f"u{number}" for number in (0, 1, 2, *range(50, 60))}


def test_a_filter_for_other_answers_fails_the_job_or_its_creation(group: Group, tmp_path: Path) -> None:
    """At creation where the service knows the recipe, else as the job's failure reason."""
    try:
        job, _ = group.run(tmp_path, "aws-item-affinity", "EXCLUDE ItemID WHERE Items.PRICE > 3", {"itemId": "i1"})
        reason = job["failureReason"]
    except Refused as refused:
        reason = refused.message
    assert "aws-item-affinity needs one on UserID" in reason


def test_scores_are_those_without_a_filter(group: Group, tmp_path: Path) -> None:
    free, filtered = (
        scores(group, tmp_path / name, expression)
        for name, expression in {"free": None, "filtered": 'INCLUDE ItemID WHERE Items.GENRES IN ("drama")'}.items()
    )
    assert filtered == {item: score for item, score in free.items() if item in DRAMAS}


def scores(group: Group, folder: Path, expression: str | None) -> dict[str, float]:
    folder.mkdir()
    group.run(folder, "aws-user-personalization", expression, user("u1"))
    (row,) = rows_of(folder / "out" / "rows.json.out")
    return dict(zip(row["output"]["recommendedItems"], row["output"]["scores"], strict=True))
