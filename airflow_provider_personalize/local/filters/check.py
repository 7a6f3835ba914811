"""Whether the local backend can evaluate a filter over datasets with given schemas; no data is needed."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_personalize.batch.filter_expression import (
    Clause,
    Comparison,
    Condition,
    Dataset,
    Field,
    FilterExpression,
    Parameter,
    Subject,
)
from airflow_provider_personalize.local.datasets.schema import DatasetSchema

_EVALUATED = {
    (Subject.ITEM_ID, Dataset.ITEMS),
    (Subject.ITEM_ID, Dataset.INTERACTIONS),
    (Subject.USER_ID, Dataset.USERS),
    (Subject.USER_ID, Dataset.INTERACTIONS),
}


class UnsupportedFilterError(ValueError):
    """A filter that the service takes and the local backend does not evaluate; the text names the part."""


def check_filter(expression: FilterExpression, schemas: Mapping[str, DatasetSchema]) -> None:
    """Check a filter against the schemas of its dataset group (dataset type, ``ITEMS``, -> schema).

    Raises:
        FilterSyntaxError: a dataset or column does not exist, or cannot be compared so; the message points at it.
        UnsupportedFilterError: the expression is one of the service's that is not evaluated here.
    """
    if len({clause.subject for clause in expression.clauses}) > 1:
        raise UnsupportedFilterError(
            "A filter is on ItemID or on UserID; one with clauses on both is not evaluated locally."
        )
    for clause in expression.clauses:
        _check_built(clause)
        for condition in clause.all_conditions():
            _check_column(expression, condition, schemas)


def _check_built(clause: Clause) -> None:
    if (clause.subject, clause.dataset) not in _EVALUATED:
        raise UnsupportedFilterError(
            f"A clause on {clause.subject.value} with conditions on {clause.dataset.value} is not evaluated locally."
        )
    if clause.user_conditions:
        raise UnsupportedFilterError(f"IF with {clause.user_conditions[0].field} is not evaluated locally.")
    for condition in clause.all_conditions():
        operand = condition.value if isinstance(condition, Comparison) else condition.values
        if isinstance(operand, Parameter):
            raise UnsupportedFilterError(f"The placeholder {operand} is not evaluated locally; write its values out.")
        if isinstance(operand, Field):
            raise UnsupportedFilterError(f"{operand} is not evaluated locally.")


def _check_column(expression: FilterExpression, condition: Condition, schemas: Mapping[str, DatasetSchema]) -> None:
    mention = condition.field
    schema = schemas.get(mention.dataset.stored.value.upper())
    if schema is None:
        raise expression.error_at(mention, f"The dataset group has no {mention.dataset.stored.value} dataset.")
    field = schema.find(mention.column)
    if field is None:
        raise expression.error_at(
            mention,
            f"{schema.type_name} has no column {mention.column}; it has {', '.join(f.name for f in schema.fields)}.",
        )
    if field.textual or field.type == "boolean":
        kind = "textual" if field.textual else "boolean"
        raise expression.error_at(mention, f"Invalid Expression: {mention} is {kind}, and cannot be filtered by.")
    if isinstance(condition, Comparison) and not field.numeric:
        raise expression.error_at(mention, f'{mention} is text: use IN, like {mention} IN ("a").')
    if not isinstance(condition, Comparison) and field.numeric:
        raise expression.error_at(mention, f"{mention} is a number: compare it with =, !=, <, <=, > or >=.")
