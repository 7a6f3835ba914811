"""What Airflow's provider manager reads about this package. It runs in every CLI call, so it imports nothing."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    return {
        "package-name": "airflow-provider-personalize",
        "name": "Amazon Personalize",
        "description": "Amazon Personalize batch jobs, on AWS or on a local backend.",
    }
