"""The events endpoint: records that clients put into datasets one by one.

A record is kept as one row of its dataset, checked against the schema that the dataset has now. The next training sees
it, and so do filters and exports. Keys of ``properties`` are the schema's fields in camel case.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from airflow_provider_personalize.local.datasets.bounds import FLOAT_OVERFLOW, INT_BITS, is_time, longest, not_a_time
from airflow_provider_personalize.local.datasets.schema import DatasetSchema, Field, parse_schema
from airflow_provider_personalize.local.errors import InvalidInput, ResourceNotFound
from airflow_provider_personalize.local.layout import region_of, resource_name
from airflow_provider_personalize.local.service.call import Call, Operation, Request, Response
from airflow_provider_personalize.local.service.datasets import DATASETS
from airflow_provider_personalize.local.service.event_trackers import tracker_of
from airflow_provider_personalize.local.service.schemas import SCHEMAS
from airflow_provider_personalize.local.store import Resource

# The member that keeps an event's session beside its columns: no column of a schema is spelled so.
SESSION = "$session"


def put_events(call: Call, request: Request) -> Response:
    """Add events to the Interactions dataset of the tracker's dataset group: all of them or none."""
    tracker = tracker_of(call, request["trackingId"])
    if tracker is None:
        raise InvalidInput(f"There is no event tracker with trackingId {request['trackingId']}.")
    group_arn = tracker.document["datasetGroupArn"]
    dataset = call.backend.store.get(DATASETS.arn(call, f"{resource_name(group_arn)}/INTERACTIONS"))
    if dataset is None:
        raise InvalidInput(f"{group_arn} has no Interactions dataset to put events into.")
    events = [(event, request.get("userId"), request["sessionId"]) for event in request["eventList"]]
    return _put_events(call, dataset, "eventList", events)


def put_action_interactions(call: Call, request: Request) -> Response:
    """The same for actions, whose dataset has a tracking id of its own."""
    found = call.backend.store.users_of("trackingId", request["trackingId"], [DATASETS.kind])
    found = [dataset for dataset in found if region_of(dataset.arn) == call.region]
    if not found:
        raise ResourceNotFound(request["trackingId"])
    given = request["actionInteractions"]
    return _put_events(call, found[0], "actionInteractions", [(e, e.get("userId"), e["sessionId"]) for e in given])


def _put_events(
    call: Call, dataset: Resource, member: str, events: Sequence[tuple[Mapping[str, Any], str | None, str]]
) -> Response:
    """``events``: each with its user, if that is known, and its session."""
    schema = _schema(call, dataset)
    records = []
    for position, (event, user, session) in enumerate(events, start=1):
        place = f"{member}.{position}.member"
        # Whoever is not logged in yet has a session only; who it was is known when the session names a user.
        row = _event(event, schema, place) | {"USER_ID": user}
        _check_complete(row, schema, place, without=() if user else ("USER_ID",))
        records.append((user, {**row, SESSION: session}))
    call.backend.store.put(dataset.arn, records)
    return {}


def _event(event: Mapping[str, Any], schema: DatasetSchema, place: str) -> dict[str, Any]:
    given = {
        "ITEM_ID": event.get("itemId"),
        "ACTION_ID": event.get("actionId"),
        "TIMESTAMP": int(event.get("sentAt", event.get("timestamp", 0))),
        "EVENT_TYPE": event["eventType"],
        "EVENT_VALUE": event.get("eventValue"),
        "IMPRESSION": "|".join(event["impression"]) if "impression" in event else None,
        "RECOMMENDATION_ID": event.get("recommendationId"),
        "EVENT_ATTRIBUTION_SOURCE": event.get("metricAttribution", {}).get("eventAttributionSource"),
    }
    row = _properties(event, schema, place)
    for name, value in given.items():
        # What the schema has no column for is not kept; the properties may name an item as well as `itemId` does.
        if value is not None and (field := schema.find(name)):
            row[field.name.upper()] = _value(field, value, place)
    return row


def put_items(call: Call, request: Request) -> Response:
    return _put_entities(call, request, "ITEMS", "items", "itemId", "ITEM_ID")


def put_users(call: Call, request: Request) -> Response:
    return _put_entities(call, request, "USERS", "users", "userId", "USER_ID")


def put_actions(call: Call, request: Request) -> Response:
    return _put_entities(call, request, "ACTIONS", "actions", "actionId", "ACTION_ID")


def _put_entities(call: Call, request: Request, kind: str, member: str, key: str, column: str) -> Response:
    """Add items, users or actions, or replace those with the same id: all of them or none."""
    dataset = DATASETS.require_active(call, request["datasetArn"])
    if dataset.document["datasetType"] != kind:
        raise InvalidInput(f"{dataset.arn} is of type {dataset.document['datasetType']}, not {kind}.")
    schema = _schema(call, dataset)
    records = []
    for position, entity in enumerate(request[member], start=1):
        place = f"{member}.{position}.member"
        row = _properties(entity, schema, place) | {column: entity[key]}
        _check_complete(row, schema, place)
        records.append((entity[key] if kind == "USERS" else None, row))
    call.backend.store.put(dataset.arn, records)
    return {}


def _schema(call: Call, dataset: Resource) -> DatasetSchema:
    return parse_schema(SCHEMAS.require(call, dataset.document["schemaArn"]).document["schema"])


def _properties(record: Mapping[str, Any], schema: DatasetSchema, place: str) -> dict[str, Any]:
    """The columns that ``properties`` gives values to."""
    place = f"{place}.properties"
    try:
        given = orjson.loads(record.get("properties", "{}"))  # not json, which overflows the stack on deep nesting
    except ValueError:
        raise InvalidInput(f"{place} is not JSON.") from None
    if not isinstance(given, dict):
        raise InvalidInput(f"{place} must be a JSON object.")
    # The service compares names without case and underscores, and no schema has two that are then the same.
    fields = {_bare(field.name): field for field in schema.fields}
    row = {}
    for name, value in given.items():
        field = fields.get(_bare(name))
        if field is None:
            known = ", ".join(field.name for field in schema.fields)
            raise InvalidInput(f"{place}.{name}: {schema.type_name} has no such field; it has {known}.")
        row[field.name.upper()] = _value(field, value, f"{place}.{name}")
    return row


def _bare(name: str) -> str:
    return name.replace("_", "").upper()


def _value(field: Field, value: Any, place: str) -> Any:
    """``value`` as the field's column holds it. Raises ``InvalidInputException`` when an import would refuse it."""
    if value == "":  # as an empty cell
        value = None
    if value is None and field.nullable:
        return None
    if field.type == "string":
        if isinstance(value, list) and field.categorical and all(isinstance(part, str) for part in value):
            value = "|".join(value)
        if isinstance(value, str):
            if (most := longest(field)) and len(value) > most:
                raise InvalidInput(f"{place}: Length cannot be more than {most} characters for {field.name}.")
            return value
    elif field.type == "boolean":
        if isinstance(value, bool):
            return value
    elif not isinstance(value, bool) and isinstance(value, (int, float)) and math.isfinite(value):
        bits = INT_BITS.get(field.type)
        if bits is None:
            if field.type == "float" and abs(value) >= FLOAT_OVERFLOW:
                raise InvalidInput(f"{place}: {field.name}: {json.dumps(value)} is out of range for a float.")
            return float(value)
        if value == int(value) and -(1 << (bits - 1)) <= value < 1 << (bits - 1):
            if is_time(field) and (fault := not_a_time(int(value), str(int(value)))):
                raise InvalidInput(f"{place}: {field.name}: {fault}")
            return int(value)
    nullable = " or null" if field.nullable else ""
    raise InvalidInput(f"{place}: {field.name} must be of type {field.type}{nullable}, not {json.dumps(value)}.")


def _check_complete(row: Mapping[str, Any], schema: DatasetSchema, place: str, without: Iterable[str] = ()) -> None:
    for field in schema.fields:
        name = field.name.upper()
        if not field.nullable and name not in without and row.get(name) is None:
            raise InvalidInput(f"{place}: {field.name} is missing; the schema does not let it be null.")


OPERATIONS: dict[str, Operation] = {
    "PutActionInteractions": put_action_interactions,
    "PutActions": put_actions,
    "PutEvents": put_events,
    "PutItems": put_items,
    "PutUsers": put_users,
}
