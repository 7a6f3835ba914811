"""A filter of a dataset group, compiled over its data."""

from __future__ import annotations

from airflow_provider_personalize.batch.filter_expression import FilterSyntaxError, parse_filter
from airflow_provider_personalize.local.datasets.dataset import Datasets
from airflow_provider_personalize.local.filters import Filter, UnsupportedFilterError, compile_filter
from airflow_provider_personalize.local.recipes.model import Model
from airflow_provider_personalize.local.store import Resource
from airflow_provider_personalize.local.work.running import JobFailed


def compiled_over(datasets: Datasets, filter_: Resource, model: Model, recent_events: int) -> Filter:
    """The filter for a model's answers. Raises :class:`JobFailed` where it does not fit them."""
    try:
        expression = parse_filter(filter_.document["filterExpression"])
        return compile_filter(expression, datasets, model, recent_events)
    except (FilterSyntaxError, UnsupportedFilterError) as error:  # a schema that changed, or a filter for another id
        raise JobFailed(f"Filter {filter_.arn} does not fit this job: {error}") from None
