"""The queries of Item-Attribute-Affinity rows as values: text -> tree -> text. Nothing is evaluated here.

``ITEMS.GENRES = "Comedy" AND ITEMS.YEAR = 1999`` asks for users who like items that hold both. Dataset, AND and columns
ignore case (columns are kept in upper case), texts are kept exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_personalize.batch.syntax import ExpressionSyntaxError, quote


class AttributeQuerySyntaxError(ExpressionSyntaxError):
    """A query that the service's documents do not allow."""


@dataclass(frozen=True, slots=True)
class Term:
    """``ITEMS.GENRES = "Comedy"``."""

    column: str
    value: str | int | float
    position: int = field(default=0, compare=False, repr=False)

    def __str__(self) -> str:
        return f"ITEMS.{self.column} = {quote(self.value) if isinstance(self.value, str) else self.value}"


@dataclass(frozen=True, slots=True)
class AttributeQuery:
    """Terms joined by AND: an item matches that holds all of them."""

    terms: tuple[Term, ...]
    text: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        return " AND ".join(map(str, self.terms))

    def error_at(self, term: Term, reason: str) -> AttributeQuerySyntaxError:
        """An error that points at ``term``, for whoever knows the schema: ``raise query.error_at(...)``."""
        return AttributeQuerySyntaxError(reason, self.text, term.position)


def parse_attribute_query(text: str) -> AttributeQuery:
    """Raises AttributeQuerySyntaxError, and only that."""
    from airflow_provider_personalize.batch import attribute_grammar

    return attribute_grammar.parse(text)
