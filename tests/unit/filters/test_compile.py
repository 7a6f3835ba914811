"""Filters evaluated over datasets, on small data with known answers and against a slow reference."""

from __future__ import annotations

import json
import operator

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_personalize.batch.filter_expression import AnyValue, Comparison, parse_filter
from airflow_provider_personalize.local.datasets.dataset import Datasets
from airflow_provider_personalize.local.datasets.schema import parse_schema
from airflow_provider_personalize.local.filters import UnsupportedFilterError, compile_filter
from airflow_provider_personalize.local.recipes.item_affinity import ItemAffinityModel
from airflow_provider_personalize.local.recipes.user_personalization import UserPersonalizationModel

NAMES = {
    "Interactions": {"USER_ID": "string", "ITEM_ID": "string", "TIMESTAMP": "long", "EVENT_TYPE": "string"},
    "Items": {"ITEM_ID": "string", "GENRES": "string", "PRICE": "float", "MAKER": "string"},
    "Users": {"USER_ID": "string", "AGE": "int", "PLAN": "string"},
}
CATEGORICAL = {"GENRES", "PLAN"}
DTYPES = {"string": pl.String, "long": pl.Int64, "float": pl.Float32, "int": pl.Int32}


def table(name, rows):
    return pl.DataFrame(rows, schema={key: DTYPES[kind] for key, kind in NAMES[name].items()}, orient="row")


def datasets_of(events, items, users=()):
    schemas = {}
    for name, fields in NAMES.items():
        entries = [
            {"name": key, "type": kind, **({"categorical": True} if key in CATEGORICAL else {})}
            for key, kind in fields.items()
        ]
        schemas[name.upper()] = parse_schema(json.dumps({"type": "record", "name": name, "fields": entries}))
    return Datasets(table("Interactions", events), table("Items", items), table("Users", users), schemas)


def model_of(items, users=("u",), kind=UserPersonalizationModel):
    ids = {"items": pl.Series(sorted(items), dtype=pl.String), "users": pl.Series(sorted(users), dtype=pl.String)}
    return kind("a-recipe", {}, {}, ids)


EVENTS = [
    ("ann", "a", 1, "click"),
    ("ann", "b", 2, "buy"),
    ("ann", "c", 3, "Click"),
    ("bob", "a", 1, "buy"),
    ("bob", "b", 2, None),
]
ITEMS = [
    ("a", "Comedy|Drama", 1.0, "x|y"),
    ("b", "Comedy", 2.0, "x"),
    ("c", "Horror", None, None),
    ("d", None, 4.0, "x|y"),
]
CATALOGUE = "abcde"  # "e" is in no dataset but was when the model was trained


def allowed(selection, row, items=CATALOGUE):
    """The items that a selection leaves a row, spelt as one string."""
    if selection.also is not None:
        both = set(allowed(Part(selection), row, items)) | set(allowed(selection.also, row, items))
        return "".join(sorted(both))

    def of_row(csr):
        return set(csr.indices[csr.indptr[row] : csr.indptr[row + 1]].tolist())

    left = set(range(len(items))) if selection.candidates is None else of_row(selection.candidates)
    left -= set() if selection.excluded is None else of_row(selection.excluded)
    return "".join(items[i] for i in sorted(left) if selection.bias is None or selection.bias[i] == 0)


class Part:
    """A selection without its second one."""

    def __init__(self, selection):
        self.bias, self.excluded, self.candidates, self.also = (
            selection.bias,
            selection.excluded,
            selection.candidates,
            None,
        )


def filtered(text, *users, recent_events=100):
    compiled = compile_filter(parse_filter(text), datasets_of(EVENTS, ITEMS), model_of(CATALOGUE), recent_events)
    selection = compiled.select([{"userId": user} for user in users])
    return [allowed(selection, row) for row in range(len(users))]


@pytest.mark.parametrize(
    ("condition", "matching"),
    [
        ('Items.GENRES IN ("Comedy")', "ab"),
        ('Items.GENRES IN ("Drama", "Horror")', "ac"),
        ('Items.GENRES IN ("comedy")', ""),
        ('Items.GENRES IN ("Comedy|Drama")', ""),
        ('items.genres NOT IN ("Comedy")', "cde"),
        ('Items.MAKER IN ("x")', "b"),
        ('Items.MAKER IN ("x|y")', "ad"),
        ('Items.ITEM_ID IN ("d", "zz")', "d"),
        ("Items.PRICE > 1", "bd"),
        ("Items.PRICE >= 1", "abd"),
        ("Items.PRICE < 2.5", "ab"),
        ("Items.PRICE <= 1", "a"),
        ("Items.PRICE = 2", "b"),
        ("Items.PRICE != 2", "ad"),
        ('Items.GENRES IN ("Comedy") AND Items.PRICE > 1', "b"),
        ('Items.GENRES IN ("Horror") OR Items.GENRES IN ("Comedy") AND Items.PRICE > 1', "bc"),
    ],
)
def test_conditions_on_items(condition, matching):
    rest = "".join(item for item in CATALOGUE if item not in matching)
    assert filtered(f"INCLUDE ItemID WHERE {condition}", "ann", "nobody") == [matching] * 2
    assert filtered(f"EXCLUDE ItemID WHERE {condition}", "ann", "nobody") == [rest] * 2


@pytest.mark.parametrize(
    ("condition", "ann", "bob", "nobody"),
    [
        ('Interactions.EVENT_TYPE IN ("*")', "abc", "ab", ""),
        ('Interactions.EVENT_TYPE IN ("CLICK")', "ac", "", ""),
        ('Interactions.EVENT_TYPE IN ("buy")', "b", "a", ""),
        ('Interactions.EVENT_TYPE NOT IN ("click")', "bde", "abcde", "abcde"),
        ('Interactions.EVENT_TYPE IN ("click") OR Interactions.EVENT_TYPE IN ("buy")', "abc", "a", ""),
        ('Interactions.EVENT_TYPE IN ("*") AND Interactions.EVENT_TYPE NOT IN ("buy")', "ac", "b", ""),
    ],
)
def test_conditions_on_a_user_s_own_interactions(condition, ann, bob, nobody):
    matching = [ann, bob, nobody]
    assert filtered(f"INCLUDE ItemID WHERE {condition}", "ann", "bob", "nobody") == matching
    rest = ["".join(item for item in CATALOGUE if item not in held) for held in matching]
    assert filtered(f"EXCLUDE ItemID WHERE {condition}", "ann", "bob", "nobody") == rest


@pytest.mark.parametrize(
    ("text", "ann", "bob"),
    [
        (
            'EXCLUDE ItemID WHERE Items.PRICE > 3 | EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("buy")',
            "ace",
            "bce",
        ),
        ('INCLUDE ItemID WHERE Items.PRICE > 3 | INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("buy")', "bd", "ad"),
        ('INCLUDE ItemID WHERE Items.PRICE > 0 | EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("buy")', "ad", "bd"),
        ('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("buy") | INCLUDE ItemID WHERE Items.PRICE > 0', "ad", "bd"),
        ('INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*") | EXCLUDE ItemID WHERE Items.PRICE = 1', "bc", "b"),
        (
            'INCLUDE ItemID WHERE Items.PRICE > 3 | INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'
            ' | EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("buy")',
            "acd",
            "bd",
        ),
    ],
)
def test_clauses_are_the_union_of_includes_without_the_union_of_excludes(text, ann, bob):
    assert filtered(text, "ann", "bob") == [ann, bob]


def test_only_a_user_s_latest_events_of_each_type_are_seen():
    text = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'
    # "click" and "Click" are one type; ann's latest of it is c.
    assert filtered(text, "ann", recent_events=1) == ["ade"]
    assert filtered(text, "ann", recent_events=2) == ["de"]


def test_rows_that_could_not_be_parsed_have_no_history():
    compiled = compile_filter(
        parse_filter('INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'),
        datasets_of(EVENTS, ITEMS),
        model_of(CATALOGUE),
    )
    selection = compiled.select([None, {"userId": "ann"}])
    assert [allowed(selection, row) for row in range(2)] == ["", "abc"]


class TestSegments:
    USERS = (("ann", 30, "plus"), ("bob", 17, "free|trial"), ("cid", None, None))

    def users_left(self, text):
        model = model_of("ab", ("ann", "bob", "cid", "dee"), ItemAffinityModel)
        compiled = compile_filter(parse_filter(text), datasets_of(EVENTS, ITEMS, self.USERS), model)
        return allowed(compiled.select([{"itemId": "a"}]), 0, ("a", "b", "c", "d"))

    @pytest.mark.parametrize(
        ("text", "left"),
        [
            ("EXCLUDE UserID WHERE Users.AGE < 18", "acd"),
            ('INCLUDE UserID WHERE Users.PLAN IN ("trial", "plus")', "ab"),
            ('INCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("click")', "a"),
            ('EXCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("*")', "cd"),
            ('INCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("buy") | EXCLUDE UserID WHERE Users.AGE < 18', "a"),
        ],
    )
    def test_users_are_kept_by_columns_and_events(self, text, left):
        assert self.users_left(text) == left

    def test_a_filter_on_the_other_id_is_refused(self):
        with pytest.raises(UnsupportedFilterError, match="answers with users"):
            self.users_left("EXCLUDE ItemID WHERE Items.PRICE > 1")
        with pytest.raises(UnsupportedFilterError, match="answers with items"):
            compile_filter(
                parse_filter("EXCLUDE UserID WHERE Users.AGE < 18"), datasets_of(EVENTS, ITEMS), model_of("a")
            )


# -- the slow and obvious way -----------------------------------------------------------------------------------------

COMPARE = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
CONDITIONS = [f"Items.PRICE {sign} {number}" for sign in COMPARE for number in (0, 1, 2)] + [
    f'Items.GENRES {sign} ("{a}", "{b}")' for sign in ("IN", "NOT IN") for a in "pqr" for b in "pq"
]
OWN = [f'Interactions.EVENT_TYPE {sign} ("{kind}")' for sign in ("IN", "NOT IN") for kind in ("*", "s", "T")]


@st.composite
def expressions(draw):
    clauses = []
    for _ in range(draw(st.integers(1, 4))):
        conditions = draw(st.lists(st.sampled_from(draw(st.sampled_from([CONDITIONS, OWN]))), min_size=1, max_size=3))
        joined = conditions[0] + "".join(f" {draw(st.sampled_from(['AND', 'OR']))} {c}" for c in conditions[1:])
        clauses.append(f"{draw(st.sampled_from(['INCLUDE', 'EXCLUDE']))} ItemID WHERE {joined}")
    return " | ".join(clauses)


def holds(condition, user, item, events, items, recent):
    if condition.field.column == "EVENT_TYPE":
        types = None if isinstance(condition.values, AnyValue) else {value.lower() for value in condition.values}
        seen = set()
        for kind in {event[3].lower() for event in events}:
            mine = [e for e in events if e[0] == user and e[3].lower() == kind]
            latest = sorted(mine, key=lambda e: e[2])[-recent:]
            seen |= {e[1] for e in latest if types is None or kind in types}
        return (item in seen) != condition.negated
    value = next((dict(zip(NAMES["Items"], row, strict=True)) for row in items if row[0] == item), {}).get(
        condition.field.column
    )
    if isinstance(condition, Comparison):
        return value is not None and COMPARE[condition.comparator.value](value, condition.value)
    return bool(value is not None and set(value.split("|")) & set(condition.values)) != condition.negated


def slow(expression, user, item, events, items, recent):
    def any_clause(action):
        return [
            any(all(holds(c, user, item, events, items, recent) for c in group) for group in clause.conditions)
            for clause in expression.clauses
            if clause.action.value == action
        ]

    included = any_clause("INCLUDE")
    return (any(included) or not included) and not any(any_clause("EXCLUDE"))


@settings(max_examples=150, deadline=None)
@given(text=expressions(), seed=st.integers(0, 10_000), recent=st.integers(1, 4))
def test_any_expression_means_what_the_slow_way_says(text, seed, recent):
    random = np.random.default_rng(seed)
    users, catalogue = ("u", "v", "w", "nobody"), "abcdef"
    events = [
        (str(random.choice(users[:3])), str(random.choice(list("abcdz"))), time, str(random.choice(["s", "S", "t"])))
        for time in random.permutation(12).tolist()
    ]
    genres = (None, "p", "q", "p|q", "r")
    items = [(item, genres[random.integers(5)], (None, 0.0, 1.0, 2.0)[random.integers(4)], None) for item in "abcdy"]
    expression = parse_filter(text)
    selection = compile_filter(expression, datasets_of(events, items), model_of(catalogue), recent).select(
        [{"userId": user} for user in users]
    )
    for row, user in enumerate(users):
        expected = "".join(item for item in catalogue if slow(expression, user, item, events, items, recent))
        assert allowed(selection, row, catalogue) == expected
