"""Whether a filter fits the schemas of its dataset group, and the recipe that it is used with; no data is needed."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_personalize.batch.filter_expression import (
    Comparison,
    Condition,
    Dataset,
    Field,
    FilterExpression,
    Subject,
)
from airflow_provider_personalize.batch.recipes import SEGMENT_RECIPES
from airflow_provider_personalize.local.datasets import schema
from airflow_provider_personalize.local.datasets.schema import DatasetSchema

_RELATED_ITEMS = ("aws-semantic-similarity", "aws-similar-items", "aws-sims")


class UnsupportedFilterError(ValueError):
    """A good filter that a recipe cannot be used with; the text names both."""


def check_filter(expression: FilterExpression, schemas: Mapping[str, DatasetSchema]) -> None:
    """Check a filter against the schemas of its dataset group (dataset type, ``ITEMS``, -> schema).

    Raises:
        FilterSyntaxError: a dataset or column does not exist or cannot be compared so, or no job could use the filter;
            the message points at the place.
    """
    subject = expression.clauses[0].subject
    for clause in expression.clauses:
        first = clause.conditions[0][0].field
        if clause.subject is Subject.ACTION_ID:
            raise expression.error_at(
                first, "ActionID is what aws-next-best-action answers with, which has no batch jobs."
            )
        if clause.subject is not subject:
            raise expression.error_at(
                first,
                f"This clause is on {clause.subject.value}, the first on {subject.value}; no job answers with both.",
            )
        for condition in clause.all_conditions():
            _check_condition(expression, condition, schemas)


def check_recipe(expression: FilterExpression, recipe: str) -> None:
    """Check that answers of a recipe (``aws-sims``) can be filtered so.

    Raises:
        UnsupportedFilterError: the filter is on another id than the answers are, compares with the current item where
            rows have none, or filters the segments of attributes by interactions, as the service refuses.
    """
    subject = Subject.USER_ID if recipe in SEGMENT_RECIPES else Subject.ITEM_ID
    for clause in expression.clauses:
        if clause.subject is not subject:
            raise UnsupportedFilterError(
                f"The filter is on {clause.subject.value}; {recipe} needs one on {subject.value}."
            )
        if clause.dataset is Dataset.INTERACTIONS and recipe == "aws-item-attribute-affinity":
            raise UnsupportedFilterError(f"The filter is on Interactions; {recipe} takes conditions on Users alone.")
    for field in expression.fields:
        if field.dataset is Dataset.CURRENT_ITEM and recipe not in _RELATED_ITEMS:
            raise UnsupportedFilterError(
                f"The filter compares with {field}; rows of {recipe} have no current item, only those of "
                f"{', '.join(_RELATED_ITEMS)} do."
            )


def column_of(field: Field, schemas: Mapping[str, DatasetSchema]) -> schema.Field | None:
    """What the schema says of a column that an expression mentions."""
    dataset = schemas.get(field.dataset.stored.value.upper())
    return None if dataset is None else dataset.find(field.column)


def _check_condition(expression: FilterExpression, condition: Condition, schemas: Mapping[str, DatasetSchema]) -> None:
    for mention in (condition.field, condition.operand):
        if isinstance(mention, Field):
            _check_column(expression, mention, schemas, isinstance(condition, Comparison))


def _check_column(
    expression: FilterExpression, mention: Field, schemas: Mapping[str, DatasetSchema], compared: bool
) -> None:
    schema = schemas.get(mention.dataset.stored.value.upper())
    if schema is None:
        raise expression.error_at(mention, f"The dataset group has no {mention.dataset.stored.value} dataset.")
    field = column_of(mention, schemas)
    if field is None:
        raise expression.error_at(
            mention,
            f"{schema.type_name} has no column {mention.column}; it has {', '.join(f.name for f in schema.fields)}.",
        )
    if field.textual or field.type == "boolean":
        kind = "textual" if field.textual else "boolean"
        raise expression.error_at(mention, f"Invalid Expression: {mention} is {kind}, and cannot be filtered by.")
    if compared and not field.numeric:
        raise expression.error_at(mention, f'{mention} is text: use IN, like {mention} IN ("a").')
    if not compared and field.numeric:
        raise expression.error_at(mention, f"{mention} is a number: compare it with =, !=, <, <=, > or >=.")
