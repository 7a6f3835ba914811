"""Reading tags back: Describe never shows them."""

from __future__ import annotations

from airflow_provider_personalize.local.errors import ResourceNotFound
from airflow_provider_personalize.local.service.call import Call, Operation, Request, Response


def listing(call: Call, request: Request) -> Response:
    if call.backend.store.get(request["resourceArn"]) is None:
        raise ResourceNotFound(request["resourceArn"])
    tags = call.backend.store.tags_of(request["resourceArn"])
    return {"tags": [{"tagKey": key, "tagValue": value} for key, value in sorted(tags.items())]}


OPERATIONS: dict[str, Operation] = {"ListTagsForResource": listing}
