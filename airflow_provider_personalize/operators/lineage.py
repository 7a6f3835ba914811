"""What a task read and wrote, told to whoever listens: asset events, OpenLineage, and Airflow's own collector.

A location becomes a dataset as https://openlineage.io/docs/spec/naming says; a resource of Personalize is named by its
ARN, cut where the account ends: namespace ``arn:aws:personalize:REGION:ACCOUNT``, name ``solution/NAME/VERSION``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from airflow_provider_personalize._compat import Asset, AssetAlias, AssetRef, get_hook_lineage_collector

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context


def dataset_name(place: str) -> tuple[str, str]:
    """Namespace and name of a location or an ARN.

    :param place: ``s3://bucket/key``, ``file:///path`` or an ARN.
    """
    if place.startswith("arn:"):
        *account, name = place.split(":", 5)
        return ":".join(account), name
    scheme, _, rest = place.partition("://")
    if scheme == "file":
        return "file", rest
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}", key.rstrip("/") or "/"


def operator_lineage(inputs: Iterable[str], outputs: Iterable[str], job_arn: str | None) -> OperatorLineage[Any, Any]:
    """The lineage of one job, as OpenLineage takes it.

    :param inputs: locations and ARNs that it reads.
    :param outputs: locations and ARNs that it writes.
    :param job_arn: the job, which becomes the run's ``externalQuery``.
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset, ExternalQueryRunFacet
    from airflow.providers.openlineage.extractors import OperatorLineage

    def datasets(places: Iterable[str]) -> list[Any]:
        return [Dataset(namespace=namespace, name=name) for namespace, name in map(dataset_name, places)]

    facet = {"externalQuery": ExternalQueryRunFacet(externalQueryId=job_arn, source="personalize")} if job_arn else {}
    return OperatorLineage(inputs=datasets(inputs), outputs=datasets(outputs), run_facets=facet)


def collect(hook: Any, inputs: Iterable[str], outputs: Iterable[str], log: Any) -> None:
    """Tell Airflow's hook lineage collector which files were read and written."""
    try:
        collector = get_hook_lineage_collector()
        for uri in inputs:
            if "://" in uri:
                collector.add_input_asset(hook, uri=uri)
        for uri in outputs:
            if "://" in uri:
                collector.add_output_asset(hook, uri=uri)
    except Exception as error:
        # A job has been paid for: that nobody could be told of its files is no reason to fail.
        log.warning("Lineage was not collected: %s", error)


def tell_assets(context: Context, outlets: Iterable[Any], facts: dict[str, Any]) -> None:
    """Put what is known of the job on the event of every asset among the task's outlets.

    An alias gets the job's output as its asset, when there is one.
    """
    extra = {member: value for member, value in facts.items() if value is not None}
    for outlet in outlets:
        if isinstance(outlet, Asset | AssetRef):
            context["outlet_events"][outlet].extra.update(extra)
        elif isinstance(outlet, AssetAlias) and facts["output_uri"]:
            context["outlet_events"][outlet].add(Asset(uri=facts["output_uri"]), extra=extra)
