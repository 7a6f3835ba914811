"""What the service asks of a filter expression beyond its grammar, as far as no data is needed."""

from __future__ import annotations

from airflow_provider_personalize.batch.filter_expression import (
    AnyValue,
    Clause,
    Comparison,
    Condition,
    Dataset,
    Field,
    FilterExpression,
    Membership,
    Parameter,
    Subject,
)

#: Of the service's model.
MAX_CHARACTERS = 2500
#: Quota: distinct fields in a filter.
MAX_FIELDS = 10

_EVENT_DATASETS = (Dataset.INTERACTIONS, Dataset.ACTION_INTERACTIONS)
_DATASETS_OF = {
    Subject.ITEM_ID: (Dataset.ITEMS, Dataset.INTERACTIONS),
    Subject.USER_ID: (Dataset.USERS, Dataset.INTERACTIONS),
    Subject.ACTION_ID: (Dataset.ACTIONS, Dataset.ACTION_INTERACTIONS),
}


def check(expression: FilterExpression) -> None:
    """Raises FilterSyntaxError at the first part that breaks a rule."""
    for clause in expression.clauses:
        for condition in clause.all_conditions():
            if fault := _dataset_fault(clause, condition.field) or _condition_fault(condition):
                raise expression.error_at(*fault)
    distinct: set[tuple[Dataset, str]] = set()
    for field in expression.fields:
        distinct.add((field.dataset.stored, field.column))
        if len(distinct) > MAX_FIELDS:
            raise expression.error_at(field, f"A filter has at most {MAX_FIELDS} distinct fields; this is one more.")


_Fault = tuple[Field | Parameter, str]


def _dataset_fault(clause: Clause, field: Field) -> _Fault | None:
    if field.dataset is Dataset.CURRENT_USER:
        if clause.subject is Subject.USER_ID:
            return field, "A clause on UserID has no current user: CurrentUser needs ItemID or ActionID."
        return None
    if field.dataset is not clause.dataset:
        return field, (
            f'All conditions of a clause are on one dataset, here {clause.dataset.value}; join clauses by "|".'
        )
    allowed = _DATASETS_OF[clause.subject]
    if field.dataset not in allowed:
        names = " or ".join(dataset.value for dataset in allowed)
        return field, f"A clause on {clause.subject.value} takes conditions on {names}, not on {field.dataset.value}."
    if field.dataset in _EVENT_DATASETS and field.column != "EVENT_TYPE":
        return field, f"Of {field.dataset.value} only EVENT_TYPE can be filtered."
    return None


def _condition_fault(condition: Condition) -> _Fault | None:
    field = condition.field
    is_event_type = field.dataset in _EVENT_DATASETS
    operand = condition.operand
    if is_event_type and isinstance(condition, Comparison):
        return field, f'{field} is text: use IN, like {field} IN ("click").'
    if isinstance(operand, Field) and field.dataset is not Dataset.ITEMS:
        return operand, "CurrentItem is compared with a column of Items only."
    if isinstance(operand, AnyValue) and not is_event_type:
        return field, f"* stands for any event type: it needs Interactions.EVENT_TYPE, not {field}."
    if isinstance(condition, Membership) and condition.negated and isinstance(operand, Parameter):
        return operand, f"Invalid input symbol: {operand}. Placeholders are not allowed with NOT_IN operator."
    return None
