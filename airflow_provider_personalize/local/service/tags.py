"""Tags: Describe never shows them. Recipes and schemas have none."""

from __future__ import annotations

from airflow_provider_personalize.local.errors import InvalidInput, ResourceNotFound, TooManyTagKeys, TooManyTags
from airflow_provider_personalize.local.service.call import (
    TAGS_PER_RESOURCE,
    Call,
    Operation,
    Request,
    Response,
    given_tags,
)

WITHOUT_TAGS = ("schema",)


def listing(call: Call, request: Request) -> Response:
    tags = call.backend.store.tags_of(_taggable(call, request))
    return {"tags": [{"tagKey": key, "tagValue": value} for key, value in sorted(tags.items())]}


def tag(call: Call, request: Request) -> Response:
    """Add tags; one whose key the resource has already gets the new value."""
    arn = _taggable(call, request)
    if not call.backend.store.tag(arn, given_tags(request["tags"]), at_most=TAGS_PER_RESOURCE):
        raise TooManyTags(f"{arn} would have more than {TAGS_PER_RESOURCE} tags.")
    return {}


def untag(call: Call, request: Request) -> Response:
    """Remove tags; a key that the resource has not is no error."""
    arn = _taggable(call, request)
    if len(request["tagKeys"]) > TAGS_PER_RESOURCE:
        raise TooManyTagKeys(f"A resource has at most {TAGS_PER_RESOURCE} tags, not {len(request['tagKeys'])}.")
    call.backend.store.untag(arn, request["tagKeys"])
    return {}


def _taggable(call: Call, request: Request) -> str:
    resource = call.find(request["resourceArn"])
    if resource is None:
        raise ResourceNotFound(request["resourceArn"])
    if resource.kind in WITHOUT_TAGS:
        raise InvalidInput(f"{resource.arn} is a {resource.kind}, which has no tags.")
    return resource.arn


OPERATIONS: dict[str, Operation] = {"ListTagsForResource": listing, "TagResource": tag, "UntagResource": untag}
