"""Event trackers: a dataset group's address for PutEvents."""

from __future__ import annotations

import uuid

from airflow_provider_personalize.local.backend import ACCOUNT
from airflow_provider_personalize.local.service.call import Call, Family, Operation, Request, Response
from airflow_provider_personalize.local.service.dataset_groups import DATASET_GROUPS
from airflow_provider_personalize.local.store import Resource

EVENT_TRACKERS = Family(
    kind="event-tracker",
    arn_member="eventTrackerArn",
    wrapper="eventTracker",
    listing="eventTrackers",
    summary="EventTrackerSummary",
    parent_member="datasetGroupArn",
)


def create(call: Call, request: Request) -> Response:
    group = DATASET_GROUPS.require_active(call, request["datasetGroupArn"])
    tracking_id = str(uuid.uuid4())
    document = {
        "name": request["name"],
        "accountId": ACCOUNT,
        "trackingId": tracking_id,
        "datasetGroupArn": group.arn,
    }
    response = EVENT_TRACKERS.insert(
        call,
        _arn(call, tracking_id),
        document,
        parent=group.arn,
        unique_name=f"{group.arn}/event-tracker",  # a dataset group has one
        tags=request.get("tags"),
    )
    return response | {"trackingId": tracking_id}


def tracker_of(call: Call, tracking_id: str) -> Resource | None:
    tracker = call.backend.store.get(_arn(call, tracking_id))
    return tracker if tracker and tracker.document["trackingId"] == tracking_id else None


def _arn(call: Call, tracking_id: str) -> str:
    """Its name is no part of it: the first eight digits of the tracking id are, so that one finds the other."""
    return EVENT_TRACKERS.arn(call, tracking_id[:8])


def delete(call: Call, request: Request) -> Response:
    tracker = EVENT_TRACKERS.require(call, request["eventTrackerArn"])
    call.backend.store.delete(tracker.arn)
    return {}


OPERATIONS: dict[str, Operation] = {
    "CreateEventTracker": create,
    "DescribeEventTracker": EVENT_TRACKERS.describe,
    "ListEventTrackers": EVENT_TRACKERS.list,
    "DeleteEventTracker": delete,
}
