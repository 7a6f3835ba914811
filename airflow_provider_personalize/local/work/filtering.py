"""A filter of a dataset group, compiled over its data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_personalize.batch.filter_expression import FilterSyntaxError, parse_filter
from airflow_provider_personalize.local.datasets.dataset import Datasets
from airflow_provider_personalize.local.filters import Filter, UnsupportedFilterError, compile_filter
from airflow_provider_personalize.local.recipes.model import Model
from airflow_provider_personalize.local.work.running import JobFailed

if TYPE_CHECKING:
    from airflow_provider_personalize.local.store import Resource


@dataclass(frozen=True)
class NamedFilter:
    """What answering a row must know of a filter's resource."""

    arn: str
    expression: str

    @classmethod
    def of(cls, filter_: Resource) -> NamedFilter:
        return cls(filter_.arn, filter_.document["filterExpression"])


def compiled_over(datasets: Datasets, filter_: NamedFilter, model: Model, recent_events: int) -> Filter:
    """The filter for a model's answers. Raises :class:`JobFailed` where it does not fit them."""
    try:
        return compile_filter(parse_filter(filter_.expression), datasets, model, recent_events)
    except (FilterSyntaxError, UnsupportedFilterError) as error:  # a schema that changed, or a filter for another id
        raise JobFailed(f"Filter {filter_.arn} does not fit this job: {error}") from None
