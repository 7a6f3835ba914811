"""Attribute query text -> tree, by the grammar in ``attribute_query.lark``."""

from __future__ import annotations

from typing import Any

from airflow_provider_personalize.batch import syntax
from airflow_provider_personalize.batch.attribute_query import AttributeQuery, AttributeQuerySyntaxError, Term
from airflow_provider_personalize.batch.grammar import Language

_LANGUAGE = Language(
    grammar="attribute_query.lark",
    error=AttributeQuerySyntaxError,
    words={
        "ITEMS": "a column like ITEMS.GENRES",
        "DOT": "a dot and a column",
        "COLUMN": "a column name",
        "EQUAL": "= (no other operator is allowed)",
        "DOUBLE_QUOTED": "a value in double quotes",
        "SINGLE_QUOTED": "a value in double quotes",
        "NUMBER": "a number",
        "_AND": "AND (nothing else joins terms)",
        "$END": "the end",
    },
    hints={},
)


def parse(text: str) -> AttributeQuery:
    """Raises AttributeQuerySyntaxError."""
    return AttributeQuery(tuple(_term(node, text) for node in _LANGUAGE.parse(text).children), text)


def _term(node: Any, text: str) -> Term:
    dataset, column, literal = node.children
    value = syntax.number(literal) if literal.type == "NUMBER" else syntax.unquote(literal)
    if value is None:
        raise AttributeQuerySyntaxError("This number does not fit 64 bits.", text, literal.start_pos)
    return Term(column.upper(), value, dataset.start_pos)
