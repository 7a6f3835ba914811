"""Filter expressions as values: text -> tree -> text. Nothing is evaluated here.

``EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("click") | INCLUDE ItemID WHERE Items.GENRE IN ($GENRES)`` is a
`FilterExpression` of two clauses. Keywords, datasets and columns ignore case (columns are kept in upper case), quoted
values are kept exactly. A part that a schema may not know carries its ``position`` in the text, so that whoever looks
it up can point at it (`FilterExpression.error_at`); positions do not count in ``==``, so that a tree equals its text
parsed again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from airflow_provider_personalize.batch.filter_values import FilterValuesSyntaxError, parse_filter_values
from airflow_provider_personalize.batch.syntax import ExpressionSyntaxError, quote

__all__ = [
    "Action",
    "AnyValue",
    "Clause",
    "Comparator",
    "Comparison",
    "Condition",
    "Dataset",
    "Field",
    "FilterExpression",
    "FilterSyntaxError",
    "FilterValuesSyntaxError",
    "Membership",
    "Parameter",
    "Subject",
    "parse_filter",
    "parse_filter_values",
]


class FilterSyntaxError(ExpressionSyntaxError):
    """A filter expression that the service would refuse."""

    preface = "Could not create filter. "


class Action(Enum):
    INCLUDE = "INCLUDE"
    EXCLUDE = "EXCLUDE"


class Subject(Enum):
    """What a clause includes or excludes."""

    ITEM_ID = "ItemID"
    USER_ID = "UserID"
    ACTION_ID = "ActionID"


class Dataset(Enum):
    """Where a column stands. CURRENT_USER and CURRENT_ITEM are one row of Users and Items: the one asked about."""

    ITEMS = "Items"
    USERS = "Users"
    INTERACTIONS = "Interactions"
    ACTIONS = "Actions"
    ACTION_INTERACTIONS = "Action_Interactions"
    CURRENT_USER = "CurrentUser"
    CURRENT_ITEM = "CurrentItem"

    @property
    def stored(self) -> Dataset:
        """The dataset that has the column."""
        return {Dataset.CURRENT_USER: Dataset.USERS, Dataset.CURRENT_ITEM: Dataset.ITEMS}.get(self, self)


class Comparator(Enum):
    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="


@dataclass(frozen=True, slots=True)
class Field:
    """``Items.GENRE``; ``column`` in upper case."""

    dataset: Dataset
    column: str
    position: int = field(default=0, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.dataset.value}.{self.column}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """``$GENRES``: ``name`` without the dollar, case kept. Its value comes with each row."""

    name: str
    position: int = field(default=0, compare=False, repr=False)

    def __str__(self) -> str:
        return f"${self.name}"


@dataclass(frozen=True, slots=True)
class AnyValue:
    """``*`` or ``"*"``: any event type."""

    def __str__(self) -> str:
        return '"*"'


def _hash_of_column(condition: Membership | Comparison) -> int:
    """A condition is looked up for every row of a job, by the object itself: a hash of all it holds would cost more."""
    return hash(condition.field.column)


@dataclass(frozen=True, slots=True)
class Membership:
    """``field IN (...)``, or ``NOT IN`` where ``negated``."""

    field: Field
    negated: bool
    values: tuple[str, ...] | Parameter | AnyValue | Field
    """Literals, `AnyValue` (event types only), or a column of `Dataset.CURRENT_ITEM`."""

    __hash__ = _hash_of_column

    @property
    def operand(self) -> tuple[str, ...] | Parameter | AnyValue | Field:
        """What the column is held against."""
        return self.values

    def __str__(self) -> str:
        if isinstance(self.values, tuple):
            values = f"({', '.join(map(quote, self.values))})"
        else:
            # The one place without parentheses.
            values = str(self.values) if isinstance(self.values, Field) else f"({self.values})"
        return f"{self.field} {'NOT IN' if self.negated else 'IN'} {values}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """``field < value``, for numbers."""

    field: Field
    comparator: Comparator
    value: int | float | Parameter | Field
    """A Field is a column of `Dataset.CURRENT_ITEM`."""

    __hash__ = _hash_of_column

    @property
    def operand(self) -> int | float | Parameter | Field:
        """What the column is held against."""
        return self.value

    def __str__(self) -> str:
        return f"{self.field} {self.comparator.value} {self.value}"


Condition = Membership | Comparison


@dataclass(frozen=True, slots=True)
class Clause:
    """``action subject WHERE conditions IF user_conditions``."""

    action: Action
    subject: Subject
    conditions: tuple[tuple[Condition, ...], ...]
    """Joined by OR outside and by AND inside: AND binds tighter."""
    user_conditions: tuple[Condition, ...] = ()
    """On CurrentUser, all joined by AND; where one fails, the clause does not apply."""

    def __str__(self) -> str:
        conditions = " OR ".join(" AND ".join(map(str, all_of)) for all_of in self.conditions)
        condition_if = f" IF {' AND '.join(map(str, self.user_conditions))}" if self.user_conditions else ""
        return f"{self.action.value} {self.subject.value} WHERE {conditions}{condition_if}"

    @property
    def dataset(self) -> Dataset:
        """The one dataset of all its conditions."""
        return self.conditions[0][0].field.dataset

    def all_conditions(self) -> Iterator[Condition]:
        """Those of WHERE, then those of IF."""
        for all_of in self.conditions:
            yield from all_of
        yield from self.user_conditions


@dataclass(frozen=True, slots=True)
class FilterExpression:
    """Clauses joined by ``|``: (union of the INCLUDEs) minus (union of the EXCLUDEs), in any order."""

    clauses: tuple[Clause, ...]
    text: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        return " | ".join(map(str, self.clauses))

    @property
    def fields(self) -> tuple[Field, ...]:
        """Every mention of a column, left and right, in the order of the text."""
        return tuple(part for part in self._parts() if isinstance(part, Field))

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names that ``filterValues`` gives values to, each once, without the dollar."""
        return tuple(dict.fromkeys(part.name for part in self._parts() if isinstance(part, Parameter)))

    def error_at(self, part: Field | Parameter, reason: str) -> FilterSyntaxError:
        """An error that points at ``part``, for whoever knows the schema: ``raise expression.error_at(...)``."""
        return FilterSyntaxError(reason, self.text, part.position)

    def _parts(self) -> Iterator[object]:
        for clause in self.clauses:
            for condition in clause.all_conditions():
                yield condition.field
                yield condition.operand


def parse_filter(text: str) -> FilterExpression:
    """``text`` -> tree, checked as far as no data is needed. Raises FilterSyntaxError, and only that."""
    from airflow_provider_personalize.batch import filter_grammar, filter_rules

    if len(text) > filter_rules.MAX_CHARACTERS:
        raise FilterSyntaxError(
            f"A filter expression has at most {filter_rules.MAX_CHARACTERS} characters, this one has {len(text)}.",
            text,
            filter_rules.MAX_CHARACTERS,
        )
    expression = filter_grammar.parse(text)
    filter_rules.check(expression)
    return expression
