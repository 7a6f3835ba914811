"""Filters evaluated over small data with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from airflow_provider_personalize.batch.filter_expression import parse_filter
from airflow_provider_personalize.local.filters import UnsupportedFilterError, compile_filter
from airflow_provider_personalize.local.scoring.selection import Selection
from tests.unit.filters.small import datasets_of, filtered, left_by, model_of

EVENTS = [
    ("ann", "a", 1, "click"),
    ("ann", "b", 2, "buy"),
    ("ann", "c", 3, "Click"),
    ("bob", "a", 1, "buy"),
    ("bob", "b", 2, None),
]
ITEMS = [
    ("a", "Comedy|Drama", 1.0, "x|y", 1990),
    ("b", "Comedy", 2.0, "x", 2000),
    ("c", "Horror", None, None, None),
    ("d", None, 4.0, "x|y", 2010),
]
USERS = [("ann", 30, "plus"), ("bob", 17, "free|trial"), ("cid", None, None)]
CATALOGUE = "abcde"  # "e" is in no dataset but was when the model was trained
DATA = datasets_of(EVENTS, ITEMS, USERS)


def of_users(text, *users, **settings):
    return filtered(text, DATA, CATALOGUE, [{"userId": user} for user in users], **settings)


def of_values(text, *filter_values):
    rows = [{"userId": "ann", "filterValues": values} for values in filter_values]
    return filtered(text, DATA, CATALOGUE, rows)


def of_items(text, *items):
    return filtered(text, DATA, CATALOGUE, [{"itemId": item} for item in items], "aws-sims")


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
        ("Items.YEAR > 1999.5", "bd"),
        ('Items.GENRES IN ("Comedy") AND Items.PRICE > 1', "b"),
        ('Items.GENRES IN ("Horror") OR Items.GENRES IN ("Comedy") AND Items.PRICE > 1', "bc"),
    ],
)
def test_conditions_on_items(condition, matching):
    rest = "".join(item for item in CATALOGUE if item not in matching)
    assert of_users(f"INCLUDE ItemID WHERE {condition}", "ann", "nobody") == [matching] * 2
    assert of_users(f"EXCLUDE ItemID WHERE {condition}", "ann", "nobody") == [rest] * 2


def test_a_number_is_compared_as_the_column_stores_it():
    data = datasets_of([], [("a", None, 0.1, None, 2**62 + 1)])
    assert filtered("INCLUDE ItemID WHERE Items.PRICE = 0.1", data, "a", [{"userId": "u"}]) == ["a"]
    assert filtered(f"INCLUDE ItemID WHERE Items.YEAR = {2**62}", data, "a", [{"userId": "u"}]) == [""]


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
    assert of_users(f"INCLUDE ItemID WHERE {condition}", "ann", "bob", "nobody") == matching
    rest = ["".join(item for item in CATALOGUE if item not in held) for held in matching]
    assert of_users(f"EXCLUDE ItemID WHERE {condition}", "ann", "bob", "nobody") == rest


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
        (
            'INCLUDE ItemID WHERE Items.PRICE > 3 | INCLUDE ItemID WHERE Interactions.EVENT_TYPE NOT IN ("*")',
            "de",
            "cde",
        ),
        (
            'INCLUDE ItemID WHERE Items.PRICE > 0 | EXCLUDE ItemID WHERE Interactions.EVENT_TYPE NOT IN ("buy")',
            "b",
            "a",
        ),
    ],
)
def test_clauses_are_the_union_of_includes_without_the_union_of_excludes(text, ann, bob):
    assert of_users(text, "ann", "bob") == [ann, bob]


def test_only_a_user_s_latest_events_of_each_type_are_seen():
    text = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'
    # "click" and "Click" are one type; ann's latest of it is c.
    assert of_users(text, "ann", recent_events=1) == ["ade"]
    assert of_users(text, "ann", recent_events=2) == ["de"]


class TestPlaceholders:
    GENRES = "INCLUDE ItemID WHERE Items.GENRES IN ($GENRES)"

    def test_each_row_brings_its_own_values(self):
        rows = [{"GENRES": '"Drama","Horror"'}, {"GENRES": '"Comedy"'}, {"GENRES": '"none"'}]
        assert of_values(self.GENRES, *rows) == ["ac", "ab", ""]

    @pytest.mark.parametrize("text", ["2", '"2"', "2.0", '"2e0"'])
    def test_a_number_may_stand_quoted_or_not(self, text):
        assert of_values("EXCLUDE ItemID WHERE Items.PRICE >= $PRICE", {"PRICE": text}) == ["ace"]

    def test_one_placeholder_may_stand_in_several_places(self):
        text = "INCLUDE ItemID WHERE Items.PRICE = $N OR Items.YEAR > $N"
        assert of_values(text, {"N": "1"}, {"N": "1995"}) == ["abd", "bd"]

    def test_an_include_needs_every_value(self):
        text = self.GENRES + " | EXCLUDE ItemID WHERE Items.PRICE > $PRICE"
        missing = '"filterValues".GENRES is missing: an INCLUDE of the filter needs $GENRES'
        assert of_values(text, {"PRICE": "3"}, {}, {"GENRES": '"Comedy"'}) == [missing, missing, "ab"]

    def test_what_an_exclude_misses_excludes_nothing(self):
        text = "EXCLUDE ItemID WHERE Items.GENRES IN ($GENRES) OR Items.PRICE > $PRICE AND Items.PRICE < 9"
        rows = [{}, {"PRICE": "3"}, {"GENRES": '"Comedy"'}, {"PRICE": "3", "GENRES": '"Comedy"'}]
        assert of_values(text, *rows) == ["abcde", "abce", "cde", "ce"]

    def test_an_if_may_hold_one(self):
        text = "EXCLUDE ItemID WHERE Items.PRICE > 1 IF CurrentUser.AGE < $AGE"
        assert of_values(text, {"AGE": "31"}, {"AGE": "30"}, {}) == ["ace", "abcde", "abcde"]

    def test_event_types_may_be_one(self):
        text = "EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ($TYPE)"
        assert of_values(text, {"TYPE": '"CLICK"'}, {"TYPE": '"*"'}, {"TYPE": '"other"'}) == ["bde", "de", "abcde"]

    def test_a_name_the_filter_does_not_have_is_an_error(self):
        assert of_values(self.GENRES, {"genres": '"Comedy"'}) == [
            '"filterValues".genres is no placeholder of the filter, which has $GENRES'
        ]
        assert of_values("EXCLUDE ItemID WHERE Items.PRICE > 3", {"PRICE": "3"}) == [
            '"filterValues".PRICE is no placeholder of the filter, which has no placeholders'
        ]

    def test_a_text_that_is_no_list_of_values_is_an_error_with_its_place(self):
        assert of_values(self.GENRES, {"GENRES": '"Comedy" "Drama"'}) == [
            '"filterValues".GENRES: Expected a comma between values. (column 10)'
        ]

    @pytest.mark.parametrize("text", ['"cheap"', "1,2", '""', '"nan"', '"1_0"', "1e999", '" 1"'])
    def test_what_is_compared_must_be_one_number(self, text):
        assert of_values("EXCLUDE ItemID WHERE Items.PRICE > $PRICE", {"PRICE": text}) == [
            '"filterValues".PRICE must be one number of 64 bits: Items.PRICE > $PRICE compares with it'
        ]


class TestCurrentUser:
    def test_a_clause_counts_where_her_values_meet_its_if(self):
        text = (
            'EXCLUDE ItemID WHERE Items.GENRES IN ("Horror") IF CurrentUser.AGE < 18 AND CurrentUser.PLAN IN ("trial")'
        )
        assert of_users(text, "ann", "bob") == ["abcde", "abde"]

    def test_includes_that_do_not_count_restrict_nothing(self):
        text = (
            "INCLUDE ItemID WHERE Items.PRICE > 3 IF CurrentUser.AGE < 18"
            ' | INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("buy") IF CurrentUser.AGE < 40'
        )
        assert of_users(text, "ann", "bob", "cid") == ["b", "ad", "abcde"]

    def test_a_user_of_whom_nothing_is_known_meets_not_in_alone(self):
        for condition, meets in {
            "AGE > 0": False,
            "AGE != 3": False,
            'PLAN IN ("")': False,
            'PLAN NOT IN ("x")': True,
        }.items():
            text = f"INCLUDE ItemID WHERE Items.PRICE = 1 IF CurrentUser.{condition}"
            assert of_users(text, "cid", "nobody") == ["a" if meets else "abcde"] * 2

    @pytest.mark.parametrize("row", [{}, {"itemId": "a"}])
    def test_a_row_that_names_no_user_is_one_of_whom_nothing_is_known(self, row):
        for text, left in {
            "INCLUDE ItemID WHERE Items.PRICE = 1 IF CurrentUser.AGE > 0": "abcde",
            'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")': "abcde",
            'INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")': "",
        }.items():
            assert filtered(text, DATA, CATALOGUE, [row, None], "aws-popularity-count")[0] == left


class TestCurrentItem:
    @pytest.mark.parametrize(
        ("condition", "a", "c"),
        [
            ("Items.PRICE > CurrentItem.PRICE", "bd", ""),
            ("Items.PRICE != CurrentItem.PRICE", "bd", ""),
            ("Items.GENRES IN CurrentItem.GENRES", "ab", "c"),
            ("Items.GENRES NOT IN CurrentItem.GENRES", "cde", "abde"),
            ("Items.MAKER IN CurrentItem.MAKER", "ad", ""),
            ("Items.ITEM_ID IN CurrentItem.ITEM_ID", "a", "c"),
        ],
    )
    def test_is_the_item_of_the_row(self, condition, a, c):
        assert of_items(f"INCLUDE ItemID WHERE {condition}", "a", "c") == [a, c]

    def test_an_item_of_which_nothing_is_known_has_no_values(self):
        assert of_items("INCLUDE ItemID WHERE Items.PRICE >= CurrentItem.PRICE", "e", "zz") == ["", ""]
        assert of_items("EXCLUDE ItemID WHERE Items.GENRES IN CurrentItem.GENRES", "e", "zz") == ["abcde"] * 2

    def test_rows_of_related_items_have_no_user(self):
        assert of_items('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")', "a") == ["abcde"]


class TestSegments:
    @pytest.mark.parametrize(
        ("text", "left"),
        [
            ("EXCLUDE UserID WHERE Users.AGE < 18", ["ann", "cid", "dee"]),
            ('INCLUDE UserID WHERE Users.PLAN IN ("trial", "plus")', ["ann", "bob"]),
            ('INCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("click")', ["ann"]),
            ('INCLUDE UserID WHERE Interactions.EVENT_TYPE NOT IN ("click")', ["bob", "cid", "dee"]),
            ('EXCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("*")', ["cid", "dee"]),
            (
                'INCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("buy") | EXCLUDE UserID WHERE Users.AGE < 18',
                ["ann"],
            ),
        ],
    )
    def test_users_are_kept_by_columns_and_events(self, text, left):
        users = ("ann", "bob", "cid", "dee")
        compiled = compile_filter(parse_filter(text), DATA, model_of(users, "aws-item-affinity"))
        selection, errors = compiled.select([{"itemId": "a"}])
        assert (left_by(selection, 0, users), errors) == (left, {})

    def test_each_query_brings_its_own_values(self):
        rows = [{"itemAttributes": "q", "filterValues": {"AGE": age}} for age in ("18", "31")]
        text = "INCLUDE UserID WHERE Users.AGE >= $AGE"
        assert filtered(text, DATA, "ab", rows, "aws-item-attribute-affinity") == ["", ""]
        users = ["ann", "bob"]
        assert filtered(text, DATA, users, rows, "aws-item-attribute-affinity") == ["ann", ""]


class TestBlocks:
    def test_rows_that_could_not_be_parsed_do_not_disturb_the_others(self):
        text = 'INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'
        compiled = compile_filter(parse_filter(text), DATA, model_of(CATALOGUE))
        selection, errors = compiled.select([None, {"userId": "ann"}, None])
        assert (left_by(selection, 1, CATALOGUE), errors) == (["a", "b", "c"], {})
        assert compiled.select([None]) == (Selection(), {})
        assert compiled.select([]) == (Selection(), {})

    def test_rows_that_cannot_differ_are_known_to_be_alike(self):
        """Strangers who may all have the same are scored once."""
        shared = compile_filter(parse_filter("INCLUDE ItemID WHERE Items.PRICE > 1"), DATA, model_of(CATALOGUE))
        selection, _ = shared.select([None, {"userId": "x"}, {"userId": "y", "filterValues": {"a": "1"}}])
        assert selection.alike
        own = compile_filter(
            parse_filter('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'), DATA, model_of(CATALOGUE)
        )
        assert own.select([{"userId": "x"}, {"userId": "y"}])[0] == Selection()
        assert not own.select([{"userId": "ann"}, {"userId": "y"}])[0].alike

    def test_rows_with_the_same_values_share_a_mask(self):
        compiled = compile_filter(parse_filter("INCLUDE ItemID WHERE Items.GENRES IN ($G)"), DATA, model_of(CATALOGUE))
        texts = ['"Comedy","Drama"', '"Drama", "Comedy"', '"Horror"'] * 20
        selection, _ = compiled.select([{"userId": "ann", "filterValues": {"G": text}} for text in texts])
        assert len(np.unique(selection.masks.of_row)) == 2

    def test_blocks_are_small_where_each_row_may_need_a_mask_of_many_items(self):
        many = model_of([f"{number:07}" for number in range(1_000_000)])
        shared = parse_filter("INCLUDE ItemID WHERE Items.PRICE > 1")
        varying = parse_filter("INCLUDE ItemID WHERE Items.PRICE > $PRICE")
        assert compile_filter(shared, DATA, many).block_rows == 4096
        assert compile_filter(varying, DATA, many).block_rows == (64 << 20) // 125_000
        assert compile_filter(varying, DATA, model_of(CATALOGUE)).block_rows > 4096


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "recipe", "reason"),
        [
            ("EXCLUDE ItemID WHERE Items.PRICE > 1", "aws-item-affinity", "aws-item-affinity needs one on UserID"),
            ("EXCLUDE UserID WHERE Users.AGE < 18", "aws-sims", "aws-sims needs one on ItemID"),
            (
                "EXCLUDE ItemID WHERE Items.PRICE > CurrentItem.PRICE",
                "aws-user-personalization",
                "rows of aws-user-personalization have no current item",
            ),
            (
                'INCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("buy")',
                "aws-item-attribute-affinity",
                "takes conditions on Users alone",
            ),
        ],
    )
    def test_a_filter_that_does_not_fit_the_recipe(self, text, recipe, reason):
        with pytest.raises(UnsupportedFilterError, match=reason):
            compile_filter(parse_filter(text), DATA, model_of("ab", recipe))
