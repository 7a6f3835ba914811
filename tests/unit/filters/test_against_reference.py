"""Any filter over any small data equals the slow and obvious way: row by row, item by item, in plain Python."""

from __future__ import annotations

import operator
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_personalize.batch.filter_expression import (
    Action,
    AnyValue,
    Clause,
    Comparator,
    Comparison,
    Dataset,
    Field,
    FilterExpression,
    Membership,
    Parameter,
    Subject,
    parse_filter,
)
from airflow_provider_personalize.local.filters import compile_filter
from tests.unit.filters.small import CATEGORICAL, COLUMNS, datasets_of, left_by, model_of

COMPARE = {
    Comparator.EQUAL: operator.eq,
    Comparator.NOT_EQUAL: operator.ne,
    Comparator.LESS: operator.lt,
    Comparator.LESS_OR_EQUAL: operator.le,
    Comparator.GREATER: operator.gt,
    Comparator.GREATER_OR_EQUAL: operator.ge,
}
# What `filterValues` may hold -> the values in it, None where it is no list of values.
WORDS = {'"p"': ["p"], '"q","p"': ["q", "p"], '"s"': ["s"], '"*"': ["*"]}
FIGURES = {"1": ["1"], '"1.5"': ["1.5"]}
TEXTS = WORDS | FIGURES | {"p": None, '"1" "2"': None}
NUMBERS = {"1": 1, "1.5": 1.5}

CATALOGUE, USERS, ITEMS = "abcdef", ("u", "v", "w"), "abcdy"  # "y" is no item of the catalogue, "e" and "f" no records
MEMBERS = st.sampled_from(["p", "q", "p|q", "r", "s", "T"])
AMOUNTS = st.sampled_from([0, 1, 1.5, 0.1, 2])

events = st.lists(
    st.tuples(
        st.sampled_from(USERS), st.sampled_from(ITEMS), st.integers(0, 3), st.sampled_from(["s", "S", "t", None])
    ),
    min_size=4,
    max_size=14,
)
texts = st.sampled_from([None, "p", "q", "p|q", "r"])
items = st.lists(st.sampled_from(ITEMS), unique=True).flatmap(
    lambda ids: st.tuples(
        *(
            st.tuples(st.just(id_), texts, st.sampled_from([None, 0, 1, 0.1]), texts, st.sampled_from([None, 1, 2]))
            for id_ in ids
        )
    )
)
users = st.lists(st.sampled_from(USERS), unique=True).flatmap(
    lambda ids: st.tuples(*(st.tuples(st.just(id_), st.sampled_from([None, 1, 2]), texts) for id_ in ids))
)


def operands(literals, column, dataset):
    # Drawn more often than what depends on the row, and of that W mostly for words and N for numbers.
    given = [literals] * 3 + [st.sampled_from("WWWN" if column in TEXT_COLUMNS else "NNNW").map(Parameter)]
    if dataset is Dataset.ITEMS:
        same_kind = [name for name, kind in COLUMNS["Items"].items() if (kind == "string") == (column in TEXT_COLUMNS)]
        given.append(st.sampled_from(same_kind).map(lambda name: Field(Dataset.CURRENT_ITEM, name)))
    return st.one_of(given)


TEXT_COLUMNS = {name for columns in COLUMNS.values() for name, kind in columns.items() if kind == "string"}


@st.composite
def conditions(draw, dataset):
    names = ["EVENT_TYPE"] if dataset is Dataset.INTERACTIONS else list(COLUMNS[dataset.stored.value])
    column = draw(st.sampled_from(names))
    field = Field(dataset, column)
    if column not in TEXT_COLUMNS:
        return Comparison(field, draw(st.sampled_from(Comparator)), draw(operands(AMOUNTS, column, dataset)))
    values = operands(st.lists(MEMBERS, min_size=1, max_size=2).map(tuple), column, dataset)
    if dataset is Dataset.INTERACTIONS:
        values |= st.just(AnyValue())
    value = draw(values)
    return Membership(field, not isinstance(value, Parameter) and draw(st.booleans()), value)


@st.composite
def clauses(draw, subject):
    table = Dataset.ITEMS if subject is Subject.ITEM_ID else Dataset.USERS
    of_dataset = conditions(draw(st.sampled_from([table, Dataset.INTERACTIONS])))
    all_of = st.lists(of_dataset, min_size=1, max_size=2).map(tuple)
    return Clause(
        draw(st.sampled_from(Action)),
        subject,
        draw(st.lists(all_of, min_size=1, max_size=2).map(tuple)),
        draw(st.lists(conditions(Dataset.CURRENT_USER), max_size=2 * (subject is Subject.ITEM_ID)).map(tuple)),
    )


def expressions(subject):
    return st.lists(clauses(subject), min_size=1, max_size=4).map(tuple).map(FilterExpression)


def rows_for(expression):
    """Mostly with the values that the expression needs."""
    fitting = {"W": st.sampled_from(list(WORDS)), "N": st.sampled_from(list(FIGURES))}
    values = st.fixed_dictionaries({name: fitting[name] for name in expression.parameters})
    anything = st.dictionaries(st.sampled_from("WNX"), st.sampled_from(list(TEXTS)))
    row = st.fixed_dictionaries(
        {
            "userId": st.sampled_from([*USERS, *USERS, "nobody"]),
            "itemId": st.sampled_from([*ITEMS, "f"]),
            "filterValues": st.one_of(values, values, values, anything),
        }
    )
    return st.lists(st.one_of(row, row, row, st.none()), min_size=1, max_size=6)


class Slow:
    """The reference, for one expression and one row."""

    def __init__(self, expression, row, events, items, users, recent):
        self.expression, self.row, self.events, self.recent = expression, row, events, recent
        self.tables = {
            Dataset.ITEMS: {row[0]: dict(zip(COLUMNS["Items"], row, strict=True)) for row in items},
            Dataset.USERS: {row[0]: dict(zip(COLUMNS["Users"], row, strict=True)) for row in users},
        }
        self.given = row.get("filterValues", {})

    def fails(self):
        """Whether the row is an error."""
        if any(name not in self.expression.parameters or TEXTS[text] is None for name, text in self.given.items()):
            return True
        for clause in self.expression.clauses:
            for condition in clause.all_conditions():
                operand = condition.values if isinstance(condition, Membership) else condition.value
                if not isinstance(operand, Parameter):
                    continue
                if operand.name not in self.given:
                    if clause.action is Action.INCLUDE:
                        return True
                elif isinstance(condition, Comparison):
                    values = TEXTS[self.given[operand.name]]
                    if len(values) != 1 or values[0] not in NUMBERS:
                        return True
        return False

    def leaves(self, id_):
        included, excluded = (
            [
                any(all(self.holds(c, id_) for c in group) for group in clause.conditions)
                for clause in self.expression.clauses
                if clause.action is action and all(self.holds(c, self.row["userId"]) for c in clause.user_conditions)
            ]
            for action in Action
        )
        return (any(included) or not included) and not any(excluded)

    def holds(self, condition, id_):
        operand = condition.values if isinstance(condition, Membership) else condition.value
        if isinstance(operand, Parameter):
            if operand.name not in self.given:
                return False
            operand = TEXTS[self.given[operand.name]]
            if isinstance(condition, Comparison):
                operand = NUMBERS[operand[0]]
        elif isinstance(operand, Field):
            operand = self.cell(operand, self.row["itemId"])
            if isinstance(condition, Membership):
                operand = self.parts(condition.values.column, operand)
        if condition.field.dataset is Dataset.INTERACTIONS:
            found = self.did(id_, operand)
        else:
            value = self.cell(condition.field, id_)
            if isinstance(condition, Comparison):
                if value is None or operand is None:
                    return False
                if condition.field.column == "PRICE":
                    value, operand = as_float(value), as_float(operand)
                return COMPARE[condition.comparator](value, operand)
            found = bool(set(self.parts(condition.field.column, value)) & set(operand))
        return found != condition.negated

    def cell(self, field, id_):
        return self.tables[field.dataset.stored].get(id_, {}).get(field.column)

    def parts(self, column, value):
        if value is None:
            return []
        return value.split("|") if column in CATEGORICAL else [value]

    def did(self, id_, types):
        any_type = isinstance(types, AnyValue) or "*" in types
        for user in USERS:
            for kind in ("s", "t", None):
                mine = [e for e in self.events if e[0] == user and (e[3] and e[3].lower()) == kind]
                latest = sorted(mine, key=lambda e: e[2])[-self.recent :]
                if any_type or kind in [type_.lower() for type_ in types]:
                    if self.expression.clauses[0].subject is Subject.USER_ID:
                        if user == id_ and latest:
                            return True
                    elif user == self.row["userId"] and any(e[1] == id_ for e in latest):
                        return True
        return False


def as_float(number):
    return struct.unpack("f", struct.pack("f", number))[0]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_expression_means_what_the_slow_way_says(data):
    subject = data.draw(st.sampled_from([Subject.ITEM_ID, Subject.ITEM_ID, Subject.USER_ID]))
    expression = data.draw(expressions(subject).filter(lambda e: len(str(e)) <= 2500))
    its_events, its_items, its_users = data.draw(events), data.draw(items), data.draw(users)
    block = data.draw(rows_for(expression))
    recent = data.draw(st.integers(1, 3))
    ids = sorted(CATALOGUE if subject is Subject.ITEM_ID else [*USERS, "x"])
    # The recipe whose rows may have a current item; a user beside it is what live requests may have.
    model = model_of(ids, "aws-sims" if subject is Subject.ITEM_ID else "aws-item-affinity")
    compiled = compile_filter(
        parse_filter(str(expression)),
        datasets_of(its_events, its_items, its_users),
        model,
        recent,
        cache_bytes=data.draw(st.sampled_from([0, 2, 1 << 20])),
    )
    for _ in range(2):  # the second time from what is held
        selection, errors = compiled.select(block)
        for position, row in enumerate(block):
            if row is None:
                assert position not in errors
                continue
            slow = Slow(expression, row, its_events, its_items, its_users, recent)
            assert (position in errors) == slow.fails(), errors
            if position not in errors:
                assert left_by(selection, position, ids) == [id_ for id_ in ids if slow.leaves(id_)]
