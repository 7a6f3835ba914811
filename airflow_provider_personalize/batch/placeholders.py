"""What the ``filterValues`` of a row must hold for a filter: the rules of its placeholders, without any data.

For an INCLUDE every placeholder needs a value; an EXCLUDE without one is disabled (developer guide, "Filtering results
in real time"). A placeholder that is compared with takes one number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from airflow_provider_personalize.batch import syntax
from airflow_provider_personalize.batch.filter_expression import Action, Comparison, FilterExpression, Parameter
from airflow_provider_personalize.batch.filter_values import FilterValuesSyntaxError, parse_filter_values

_NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)


class FilterValuesError(ValueError):
    """What is wrong with a row's ``filterValues``."""


class Placeholders:
    """The placeholders of one filter."""

    def __init__(self, expression: FilterExpression) -> None:
        self.names = expression.parameters
        included = (clause for clause in expression.clauses if clause.action is Action.INCLUDE)
        self._required = FilterExpression(tuple(included)).parameters
        conditions = (condition for clause in expression.clauses for condition in clause.all_conditions())
        self._compared = {
            condition.value.name: condition
            for condition in conditions
            if isinstance(condition, Comparison) and isinstance(condition.value, Parameter)
        }

    def values(self, filter_values: Mapping[str, str]) -> dict[str, list[str]]:
        """The values that a row gives to each placeholder. Raises :class:`FilterValuesError`, naming the member."""
        if unknown := next((name for name in filter_values if name not in self.names), None):
            known = ", ".join(f"${name}" for name in self.names) or "no placeholders"
            raise FilterValuesError(f'"filterValues".{unknown[:40]} is no placeholder of the filter, which has {known}')
        if missing := next((name for name in self._required if name not in filter_values), None):
            raise FilterValuesError(f'"filterValues".{missing} is missing: an INCLUDE of the filter needs ${missing}')
        values = {name: _parsed(name, text) for name, text in filter_values.items()}
        for name in filter(values.__contains__, self._compared):
            self.number(name, values[name])
        return values

    def number(self, name: str, values: list[str]) -> int | float:
        """The one number that a placeholder in a comparison stands for. Raises :class:`FilterValuesError`."""
        number = syntax.number(values[0]) if len(values) == 1 and _NUMBER.fullmatch(values[0]) else None
        if number is None:
            raise FilterValuesError(
                f'"filterValues".{name} must be one number of 64 bits: {self._compared[name]} compares with it'
            )
        return number


def _parsed(name: str, text: str) -> list[str]:
    try:
        return parse_filter_values(text)
    except FilterValuesSyntaxError as error:
        raise FilterValuesError(f'"filterValues".{name}: {error.reason} (column {error.column})') from None
