"""In every recipe a filter takes answers away, and changes neither the order of the rest nor its scores."""

from __future__ import annotations

import orjson
import pytest

from airflow_provider_personalize.batch.filter_expression import parse_filter
from airflow_provider_personalize.local.filters import compile_filter
from airflow_provider_personalize.local.recipes import RECIPES, TrainingConfig
from tests.unit.recipes import planted

RANKED = planted.ITEM_IDS[3:20]
# A user and an item that are known, and ones that are not; what each recipe's rows have no key for it does not read.
ROWS = [
    {"userId": "u01", "itemId": "i07", "itemList": RANKED, "itemAttributes": 'ITEMS.GROUP = "odd"'},
    {"userId": "u02", "itemId": "i10", "itemList": RANKED, "itemAttributes": 'ITEMS.GROUP = "even"'},
    {"userId": "nobody", "itemId": "nothing", "itemList": RANKED, "itemAttributes": 'ITEMS.GROUP = "odd"'},
]
VALUES = {"u01": {"GROUP": '"odd"'}, "u02": {"GROUP": '"even"'}, "nobody": {}}
SEEN = {event[:2] for event in planted.events()}


def is_odd(id_):
    return "odd" in id_ or id_[-1] in "13579"


# Expression -> whether it leaves an id to the row of a user.
ITEMS_LEFT = {
    'EXCLUDE ItemID WHERE Items.GROUP IN ("odd")': lambda user, item: not is_odd(item),
    'EXCLUDE ItemID WHERE Items.GROUP IN ($GROUP) | INCLUDE ItemID WHERE Items.ITEM_ID IN ("i04", "i07", "new-0")': (
        lambda user, item: item in {"u01": ("i04", "new-0"), "u02": ("i07",), "nobody": ("i04", "i07", "new-0")}[user]
    ),
}
ITEMS_LEFT_TO_USERS = {
    'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")': lambda user, item: (user, item) not in SEEN
}
USERS_LEFT = {
    'INCLUDE UserID WHERE Users.GROUP IN ("even")': lambda user, id_: not is_odd(id_),
    'EXCLUDE UserID WHERE Users.USER_ID IN ("u04", "u05")': lambda user, id_: id_ not in ("u04", "u05"),
}


def expressions(recipe):
    if recipe in ("aws-item-affinity", "aws-item-attribute-affinity"):
        return USERS_LEFT
    if recipe in ("aws-sims", "aws-similar-items", "aws-semantic-similarity"):
        return ITEMS_LEFT
    return ITEMS_LEFT | ITEMS_LEFT_TO_USERS


@pytest.mark.parametrize("recipe", [name for name in RECIPES if name != "aws-next-best-action"])
def test_what_is_left_keeps_its_order_and_its_scores(recipe):
    datasets = planted.datasets()
    model = RECIPES[recipe].fit(datasets, TrainingConfig(seed=3))
    for text, leaves in expressions(recipe).items():
        expression = parse_filter(text)
        rows = [row | ({"filterValues": VALUES[row["userId"]]} if expression.parameters else {}) for row in ROWS]
        selection, errors = compile_filter(expression, datasets, model).select(rows)
        assert not errors
        whole = pairs(model, rows, None)
        left = [
            [pair for pair in answer if leaves(row["userId"], pair[0])] for row, answer in zip(ROWS, whole, strict=True)
        ]
        assert pairs(model, rows, selection) == left
        assert left != whole


def pairs(model, rows, selection):
    """(id, score) of all that each row is answered with."""
    answer = model.answer(rows, len(model.labels), selection)
    ids = [[orjson.loads(label) for label in labels] for labels in model.labels.rows(answer.ids)]
    scores = [[None] * len(row) for row in ids] if answer.scores is None else answer.scores.tolist()
    return [list(zip(row, its, strict=False)) for row, its in zip(ids, scores, strict=True)]
