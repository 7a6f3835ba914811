"""Which filters may be created for which schemas."""

from __future__ import annotations

import json

import pytest

from airflow_provider_personalize.batch.filter_expression import FilterSyntaxError, parse_filter
from airflow_provider_personalize.local.datasets.schema import parse_schema
from airflow_provider_personalize.local.filters import check_filter


def schemas(**fields):
    return {
        name.upper(): parse_schema(json.dumps({"type": "record", "name": name, "fields": entries}))
        for name, entries in fields.items()
    }


def field(name, type_="string", **flags):
    return {"name": name, "type": type_, **flags}


INTERACTIONS = [field("USER_ID"), field("ITEM_ID"), field("TIMESTAMP", "long")]
GROUP = schemas(
    Interactions=[*INTERACTIONS, field("EVENT_TYPE")],
    Items=[
        field("ITEM_ID"),
        field("GENRES", categorical=True),
        field("PLOT", textual=True),
        field("PRICE", "float"),
        field("ADULT", "boolean"),
        field("CREATION_TIMESTAMP", "long"),
    ],
    Users=[field("USER_ID"), field("AGE", "int"), field("PLAN")],
)


@pytest.mark.parametrize(
    "text",
    [
        'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")',
        'include itemid where INTERACTIONS.event_type NOT IN ("click", "buy")',
        'INCLUDE ItemID WHERE items.genres IN ("Comedy") AND Items.PRICE <= 5 OR Items.CREATION_TIMESTAMP > 7',
        'INCLUDE ItemID WHERE Items.ITEM_ID IN ("i1") | EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("buy")',
        'EXCLUDE UserID WHERE Users.AGE < 18 | INCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("click")',
        "INCLUDE ItemID WHERE Items.GENRES IN ($GENRES) AND Items.PRICE > $PRICE",
        "INCLUDE ItemID WHERE Items.PRICE < CurrentItem.PRICE AND Items.GENRES IN CurrentItem.GENRES",
        'INCLUDE ItemID WHERE Items.PRICE > 3 IF CurrentUser.AGE > 18 AND CurrentUser.PLAN IN ("plus")',
    ],
)
def test_what_is_evaluated_may_be_created(text):
    check_filter(parse_filter(text), GROUP)


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ('INCLUDE ItemID WHERE Items.GENRE IN ("a")', "Items.GENRE", "no column GENRE; it has ITEM_ID, GENRES"),
        ('INCLUDE ItemID WHERE Items.PLOT IN ("a")', "Items.PLOT", "textual"),
        ('INCLUDE ItemID WHERE Items.ADULT IN ("true")', "Items.ADULT", "boolean"),
        ("INCLUDE ItemID WHERE Items.PRICE > 1 AND Items.GENRES = 1", "Items.GENRES", "use IN"),
        ('INCLUDE ItemID WHERE Items.PRICE IN ("1")', "Items.PRICE", "is a number"),
        ('EXCLUDE UserID WHERE Users.CITY IN ("a")', "Users.CITY", "no column CITY"),
        ("INCLUDE ItemID WHERE Items.GENRES IN CurrentItem.GENRE", "CurrentItem.GENRE", "Items has no column GENRE"),
        ("INCLUDE ItemID WHERE Items.GENRES IN CurrentItem.PLOT", "CurrentItem.PLOT", "textual"),
        ("INCLUDE ItemID WHERE Items.PRICE > CurrentItem.GENRES", "CurrentItem.GENRES", "is text"),
        ("INCLUDE ItemID WHERE Items.GENRES IN CurrentItem.PRICE", "CurrentItem.PRICE", "is a number"),
        ("INCLUDE ItemID WHERE Items.PRICE > 1 IF CurrentUser.CITY = 3", "CurrentUser.CITY", "Users has no column"),
        ("INCLUDE ItemID WHERE Items.PRICE > 1 IF CurrentUser.PLAN = 3", "CurrentUser.PLAN", "use IN"),
        ("INCLUDE ItemID WHERE Items.GENRES = $GENRES", "Items.GENRES", "use IN"),
        ("INCLUDE ItemID WHERE Items.PRICE IN ($PRICE)", "Items.PRICE", "is a number"),
        ('EXCLUDE ActionID WHERE Actions.TYPE IN ("a")', "Actions.TYPE", "aws-next-best-action answers with"),
        (
            'EXCLUDE ItemID WHERE Items.PRICE > 3 | EXCLUDE UserID WHERE Users.PLAN IN ("a")',
            "Users.PLAN",
            "on UserID, the first on ItemID",
        ),
    ],
)
def test_a_column_that_cannot_be_filtered_is_pointed_at(text, place, reason):
    with pytest.raises(FilterSyntaxError) as refusal:
        check_filter(parse_filter(text), GROUP)
    assert refusal.value.position == text.index(place)
    assert reason in refusal.value.reason


def test_a_dataset_that_the_group_lacks():
    with pytest.raises(FilterSyntaxError, match="no Items dataset"):
        check_filter(parse_filter('INCLUDE ItemID WHERE Items.GENRES IN ("a")'), schemas(Interactions=INTERACTIONS))
    with pytest.raises(FilterSyntaxError, match="no column EVENT_TYPE"):
        check_filter(
            parse_filter('INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'), schemas(Interactions=INTERACTIONS)
        )


def test_the_service_s_words_stand_before_the_reason():
    with pytest.raises(FilterSyntaxError) as refusal:
        check_filter(parse_filter('INCLUDE ItemID WHERE Items.ADULT IN ("1")'), GROUP)
    assert str(refusal.value) == (
        "Could not create filter. Invalid Expression: Items.ADULT is boolean, and cannot be filtered by. "
        "(line 1, column 22)\n"
        '  INCLUDE ItemID WHERE Items.ADULT IN ("1")\n'
        "                       ^"
    )
