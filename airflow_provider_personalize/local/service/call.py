"""What every operation stands on: the backend it is called on, and the family of resources it is about."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import orjson

from airflow_provider_personalize.local.backend import ACCOUNT, Backend
from airflow_provider_personalize.local.errors import (
    InvalidInput,
    InvalidNextToken,
    LimitExceeded,
    ResourceAlreadyExists,
    ResourceInUse,
    ResourceNotFound,
    TooManyTags,
)
from airflow_provider_personalize.local.layout import region_of
from airflow_provider_personalize.local.storage import Location, LocationError, check_location
from airflow_provider_personalize.local.store import ACTIVE, PENDING, AlreadyExists, Quota, QuotaReached, Resource
from airflow_provider_personalize.service_model import service_model

Request = Mapping[str, Any]
Response = dict[str, Any]
TAGS_PER_RESOURCE = 50
_LAST = (1 << 63) - 1  # the largest number that a database counts rows with


@dataclass(frozen=True, slots=True)
class Call:
    """One request's surroundings."""

    backend: Backend
    region: str

    def find(self, arn: str) -> Resource | None:
        """The resource of that ARN, where it is one of the region that is called."""
        resource = self.backend.store.get(arn)
        return resource if resource and region_of(arn) == self.region else None

    def unfinished_batch_jobs(self) -> Iterator[Resource]:
        """The batch jobs that wait or run, of both kinds."""
        for kind in ("batch-inference-job", "batch-segment-job"):
            yield from self.backend.store.unfinished(kind)


Operation = Callable[[Call, Request], Response]


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of resource: how its ARNs, its Describe, its List and its statuses are spelled."""

    kind: str  # as in the ARN
    arn_member: str
    wrapper: str  # Describe's only member
    listing: str  # List's member that holds the summaries
    summary: str  # the model's shape of one summary
    parent_member: str | None = None  # the request member that narrows a List
    # What this family calls the statuses that the others share.
    statuses: Mapping[str, str] = field(default_factory=dict)

    def arn(self, call: Call, name: str) -> str:
        return f"arn:aws:personalize:{call.region}:{ACCOUNT}:{self.kind}/{name}"

    def require(self, call: Call, arn: str) -> Resource:
        """The resource; raises ``ResourceNotFoundException`` for another kind's ARN, or another region's, too."""
        resource = call.find(arn)
        if resource is None or resource.kind != self.kind:
            raise ResourceNotFound(arn)
        return resource

    def require_active(self, call: Call, arn: str) -> Resource:
        resource = self.require(call, arn)
        if resource.status != ACTIVE:
            raise ResourceInUse(f"Resource {arn} is {resource.status}; it must be ACTIVE.")
        return resource

    def insert(
        self,
        call: Call,
        arn: str,
        document: Mapping[str, Any],
        *,
        parent: str | None = None,
        unique_name: str | None = None,
        tags: list[Mapping[str, str]] | None = None,
        job: bool = False,
        quota: Quota | None = None,
        beside: Callable[[list[Resource]], None] | None = None,
    ) -> Response:
        """Add the resource (with ``job``: pending, with work behind it) and answer with its ARN.

        ``beside`` looks at the resource among its siblings, however many are added at once, and may refuse it.

        Raises ``ResourceAlreadyExistsException`` and, where the name is free, ``LimitExceededException``.
        """
        resource = Resource(
            arn=arn,
            kind=self.kind,
            document={**document, self.arn_member: arn},
            status=PENDING if job else ACTIVE,
            parent=parent,
            unique_name=unique_name,
            tags=given_tags(tags or []),
        )
        try:
            call.backend.store.insert(resource, job=job, quota=quota, beside=beside)
        except AlreadyExists as error:
            raise ResourceAlreadyExists(error.arn) from None
        except QuotaReached:
            assert quota is not None
            raise LimitExceeded(self._too_many(call, quota)) from None
        return {self.arn_member: arn}

    def _too_many(self, call: Call, quota: Quota) -> str:
        if quota.unfinished:
            return f"More than {quota.most} resources with PENDING or IN_PROGRESS status."
        return (
            f"Cannot create another {self.kind}: {quota.within or call.region} has {quota.most}, which is the quota. "
            "Delete one and try again. On the local backend settings.toml raises quotas."
        )

    def describe(self, call: Call, request: Request) -> Response:
        return {self.wrapper: self.shown(self.require(call, request[self.arn_member]))}

    def list(self, call: Call, request: Request) -> Response:
        """A page of summaries, newest first."""
        parent = request.get(self.parent_member) if self.parent_member else None
        limit = request.get("maxResults", 100)
        before = _open_token(request.get("nextToken"), self.kind, parent)
        page = call.backend.store.page(self.kind, region=call.region, parent=parent, before=before, limit=limit + 1)
        members = _members(self.summary)
        summaries = [{k: v for k, v in self.shown(resource).items() if k in members} for resource in page[:limit]]
        response: Response = {self.listing: summaries}
        if len(page) > limit:
            response["nextToken"] = _token(self.kind, parent, page[limit - 1].seq)
        return response

    def shown(self, resource: Resource) -> dict[str, Any]:
        described = shown(resource)
        described["status"] = self.statuses.get(resource.status, resource.status)
        return described


@cache
def _members(shape: str) -> frozenset[str]:
    """The members of a shape of the model, which makes them anew each time it is asked."""
    return frozenset(service_model().shape_for(shape).members)


def shown(resource: Resource) -> dict[str, Any]:
    """A resource as Describe shows it; members without a value are left out, as the service does."""
    described = {
        **resource.document,
        "status": resource.status,
        "failureReason": resource.failure_reason,
        "creationDateTime": resource.created,
        "lastUpdatedDateTime": resource.updated,
    }
    return {name: value for name, value in described.items() if value is not None}


def complete_update(described: Response, member: str) -> None:
    """Give the latest update of a described resource, where it had one, its status and times."""
    if member in described:
        times = dict.fromkeys(("creationDateTime", "lastUpdatedDateTime"), described["lastUpdatedDateTime"])
        described[member] = {**described[member], "status": ACTIVE, **times}


def given_tags(tags: list[Mapping[str, str]]) -> dict[str, str]:
    """A request's tags. Raises ``TooManyTagsException``, or ``InvalidInputException`` for a key that comes twice."""
    if len(tags) > TAGS_PER_RESOURCE:
        raise TooManyTags(f"A resource has at most {TAGS_PER_RESOURCE} tags, not {len(tags)}.")
    found = {tag["tagKey"]: tag["tagValue"] for tag in tags}
    if len(found) < len(tags):
        raise InvalidInput("Two of the tags have the same key.")
    return found


def require_location(uri: str | None, what: str) -> Location:
    """A location that can be read or written; ``what`` begins the message that refuses another."""
    try:
        return check_location(uri or "")
    except LocationError as error:
        raise InvalidInput(f"{what} {error}") from None


def _token(kind: str, parent: str | None, seq: int) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([kind, parent, seq])).decode()


def _open_token(token: str | None, kind: str, parent: str | None) -> int | None:
    if token is None:
        return None
    try:
        token_kind, token_parent, seq = orjson.loads(base64.urlsafe_b64decode(token))
    except (binascii.Error, ValueError, TypeError):
        raise InvalidNextToken("nextToken is not one that this operation returned.") from None
    if [token_kind, token_parent] != [kind, parent] or type(seq) is not int or not 0 <= seq <= _LAST:
        raise InvalidNextToken("nextToken belongs to another listing.")
    return seq
