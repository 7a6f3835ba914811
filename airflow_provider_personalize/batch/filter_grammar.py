"""Filter text -> tree, by the grammar in ``filter_expression.lark``."""

from __future__ import annotations

from typing import Any, TypeAlias

from lark import Token, Tree

from airflow_provider_personalize.batch import syntax
from airflow_provider_personalize.batch.filter_expression import (
    Action,
    AnyValue,
    Clause,
    Comparator,
    Comparison,
    Condition,
    Dataset,
    Field,
    FilterExpression,
    FilterSyntaxError,
    Membership,
    Parameter,
    Subject,
)
from airflow_provider_personalize.batch.grammar import Language

_Node: TypeAlias = Tree[Token] | Token

_TEXT_IS_COMPARED_WITH_IN = 'Text is compared with IN, like Items.GENRE IN ("Comedy"); a comparator takes a number.'
_NO_PARENTHESES = "Conditions cannot be grouped by parentheses; AND binds tighter than OR."

_LANGUAGE = Language(
    grammar="filter_expression.lark",
    error=FilterSyntaxError,
    words={
        "ACTION": "INCLUDE or EXCLUDE",
        "SUBJECT": "ItemID, UserID or ActionID",
        "_WHERE": "WHERE",
        "DATASET": "a dataset and column like Items.GENRE",
        "CURRENT_USER": "CurrentUser and a column",
        "DOT": "a dot and a column",
        "COLUMN": "a column name",
        "SET_OPERATOR": "IN, NOT IN",
        "COMPARATOR": "a comparator (=, !=, <, <=, >, >=)",
        "LPAR": "values in parentheses",
        "DOUBLE_QUOTED": "a value in double quotes",
        "SINGLE_QUOTED": "a value in double quotes",
        "NUMBER": "a number",
        "PARAMETER": "a $placeholder",
        "STAR": "*",
        "CURRENT_ITEM": "CurrentItem and a column",
        "COMMA": "a comma",
        "RPAR": "a closing parenthesis",
        "_AND": "AND",
        "_OR": "OR",
        "_IF": "IF",
        "VBAR": '"|"',
        "$END": "the end",
    },
    hints={
        ("DOUBLE_QUOTED", "NUMBER"): _TEXT_IS_COMPARED_WITH_IN,
        ("SINGLE_QUOTED", "NUMBER"): _TEXT_IS_COMPARED_WITH_IN,
        ("NUMBER", "DOUBLE_QUOTED"): 'Values in parentheses are quoted, like IN ("7"); compare numbers with =, < or >.',
        ("LPAR", "DATASET"): _NO_PARENTHESES,
        ("LPAR", "CURRENT_USER"): _NO_PARENTHESES,
        ("CURRENT_USER", "DATASET"): "CurrentUser is allowed only after IF, at the end of a clause.",
        ("DATASET", "CURRENT_USER"): "Only CurrentUser is allowed after IF.",
        ("_OR", "_AND"): "Conditions after IF are joined by AND only.",
    },
)

_ACTIONS = {action.value.lower(): action for action in Action}
_SUBJECTS = {subject.value.lower(): subject for subject in Subject}
_DATASETS = {dataset.value.lower(): dataset for dataset in Dataset}


def parse(text: str) -> FilterExpression:
    """Raises FilterSyntaxError where the grammar does not fit; `filter_rules` knows the rest."""
    builder = _Builder(text)
    return FilterExpression(tuple(builder.clause(node) for node in _LANGUAGE.parse(text).children), text)


class _Builder:
    """Lark's tree -> ours. Holds the text for errors."""

    def __init__(self, text: str) -> None:
        self._text = text

    def clause(self, node: Any) -> Clause:
        action, subject, conditions, *user_conditions = node.children
        return Clause(
            _ACTIONS[action.lower()],
            _SUBJECTS[subject.lower()],
            tuple(tuple(map(self._condition, all_of.children)) for all_of in conditions.children),
            tuple(self._condition(condition) for tree in user_conditions for condition in tree.children),
        )

    def _condition(self, node: Any) -> Condition:
        field = self._field(node.children[0])
        operator, value = node.children[1:]
        if node.data == "comparison":
            return Comparison(field, Comparator(operator), self._value(value))
        return Membership(field, operator[0] in "nN", self._values(value, field))

    def _field(self, node: Any) -> Field:
        dataset, column = node.children
        return Field(_DATASETS[dataset.lower()], column.upper(), dataset.start_pos)

    def _value(self, node: Any) -> int | float | Parameter | Field:
        if isinstance(node, Tree):
            return self._field(node)
        if node.type == "PARAMETER":
            return self._parameter(node)
        number = syntax.number(node)
        if number is None:
            raise FilterSyntaxError("This number does not fit 64 bits.", self._text, node.start_pos)
        return number

    def _values(self, node: Any, field: Field) -> tuple[str, ...] | Parameter | AnyValue | Field:
        if isinstance(node, Token):
            return AnyValue() if node.type == "STAR" else self._parameter(node)
        if node.data == "field":
            return self._field(node)
        values = tuple(map(syntax.unquote, node.children))
        # The documents write both * and "*"; among other event types it still means any.
        return AnyValue() if "*" in values and field.column == "EVENT_TYPE" else values

    def _parameter(self, token: Token) -> Parameter:
        return Parameter(token[1:], token.start_pos or 0)
