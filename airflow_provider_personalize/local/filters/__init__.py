"""A parsed filter over the datasets -> what each row may be answered with.

``check`` knows schemas only, for the control plane; ``compile`` knows the data. It is imported when asked for, so that
creating a filter loads no numeric library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_personalize.local.filters.check import UnsupportedFilterError, check_filter, check_recipe

if TYPE_CHECKING:
    from airflow_provider_personalize.local.filters.compile import Filter, compile_filter

__all__ = ["Filter", "UnsupportedFilterError", "check_filter", "check_recipe", "compile_filter"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from airflow_provider_personalize.local.filters import compile as compiling

    return getattr(compiling, name)
