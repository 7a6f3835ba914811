"""Operations of the service that the local backend refuses, each with its reason.

The wire answers them with ``OperationNotSupportedException``; ``docs/operations.md`` shows the reasons.
"""

from __future__ import annotations

_RECOMMENDERS = "recommenders serve the use cases of domain dataset groups live; nothing of them reaches a batch job"
_ATTRIBUTION = "metric attributions report on live recommendations to CloudWatch and S3"

REFUSED: dict[str, str] = {
    **dict.fromkeys(
        (
            "CreateRecommender",
            "DeleteRecommender",
            "DescribeRecommender",
            "ListRecommenders",
            "StartRecommender",
            "StopRecommender",
            "UpdateRecommender",
        ),
        _RECOMMENDERS,
    ),
    **dict.fromkeys(
        (
            "CreateMetricAttribution",
            "DeleteMetricAttribution",
            "DescribeMetricAttribution",
            "ListMetricAttributionMetrics",
            "ListMetricAttributions",
            "UpdateMetricAttribution",
        ),
        _ATTRIBUTION,
    ),
}
