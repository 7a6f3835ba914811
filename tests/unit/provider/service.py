"""A Personalize whose answers a test decides: a few lines an operation, behind real boto3 and aiobotocore clients."""

from __future__ import annotations

import json
import re
from io import BytesIO
from types import ModuleType
from typing import Any

from botocore.exceptions import ConnectionClosedError, EndpointConnectionError

from airflow_provider_personalize.hooks.resources import RESOURCES, PersonalizeResource

ACCOUNT = "arn:aws:personalize:us-east-1:123456789012"
GROUP = f"{ACCOUNT}:dataset-group/shop"
SOLUTION = f"{ACCOUNT}:solution/for-you"
VERSION = f"{SOLUTION}/11111111"
ROLE = "arn:aws:iam::123456789012:role/personalize"
TRANSPORTS = "airflow_provider_personalize.local.transports"


class Refusal(Exception):
    def __init__(self, code: str, message: str = "refused") -> None:
        super().__init__(code, message)
        self.code, self.message = code, message


class Service:
    """Keeps what is created, and every call.

    ``statuses`` is what the next created resources go through, one step a Describe; the last one stays. ``refusals``
    are answers to coming calls of an operation, each used once. The answer to a call in ``lost`` never arrives, and
    what was asked for happens all the same; ``unreachable`` counts calls that do not arrive at all. A List answer has
    ``page_size`` summaries, and no more than were asked for; with ``lists_progress`` each summary is a step, too. Names
    are unique, since ARNs end in them; those of solution versions do not, so ``version_names_are_unique`` may be False.
    """

    lists_progress = False

    def __init__(self) -> None:
        self.resources: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.statuses: list[str] = ["ACTIVE"]
        self.version_names_are_unique = True
        self.failure_reason: str | None = None
        self.refusals: list[tuple[str, Refusal]] = []
        self.refused_from: dict[str, tuple[int, Refusal]] = {}
        self.registered: list[dict[str, Any]] = []
        self.lost: list[str] = []
        self.unreachable: dict[str, int] = {}
        self.page_size = 1000
        self.event_trackers: list[dict[str, Any]] = []
        self._progress: dict[str, list[str]] = {}

    def add(self, kind: str, name: str, status: str = "ACTIVE", /, **members: Any) -> str:
        """Put a resource there as if somebody had created it before."""
        resource = RESOURCES[kind]
        arn = members.pop("arn", f"{ACCOUNT}:{kind}/{name}")
        named = {resource.name_member: name, resource.arn_member: arn, "status": status}
        dates = {"creationDateTime": 1_700_000_000 + len(self.resources), "lastUpdatedDateTime": 1_700_000_000}
        self.resources[arn] = {**named, **dates, **members}
        return arn

    def set_statuses(self, arn: str, *statuses: str) -> None:
        self._progress[arn] = list(statuses)

    def refuse(self, operation: str, code: str, message: str = "refused", times: int = 1) -> None:
        self.refusals += [(operation, Refusal(code, message))] * times

    def refuse_from(self, operation: str, number: int, code: str, message: str = "refused") -> None:
        """Refuse every call of an operation from the ``number``-th on."""
        self.refused_from[operation] = number, Refusal(code, message)

    def called(self, operation: str) -> list[dict[str, Any]]:
        return [parameters for name, parameters in self.calls if name == operation]

    def answer(self, request: Any) -> tuple[int, dict[str, Any]]:
        target, body = request.headers["X-Amz-Target"], request.body
        operation = (target.decode() if isinstance(target, bytes) else target).removeprefix("AmazonPersonalize.")
        parameters = json.loads(body)
        self.calls.append((operation, parameters))
        if self.unreachable.get(operation):
            self.unreachable[operation] -= 1
            raise EndpointConnectionError(endpoint_url=request.url)
        try:
            answer = self._do(operation, parameters)
            if operation in self.lost:
                self.lost.remove(operation)
                raise ConnectionClosedError(endpoint_url=request.url)
            return 200, answer
        except Refusal as refusal:
            return 400, {"__type": refusal.code, "message": refusal.message}

    def _do(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        for entry in self.refusals:
            if entry[0] == operation:
                self.refusals.remove(entry)
                raise entry[1]
        first, refusal = self.refused_from.get(operation, (len(self.calls) + 1, None))
        if refusal is not None and len(self.called(operation)) >= first:
            raise refusal
        if operation == "ListEventTrackers":
            return {"eventTrackers": self.event_trackers}
        if operation == "GetSolutionMetrics":
            arn = parameters["solutionVersionArn"]
            return {"solutionVersionArn": arn, "metrics": self._describe(arn).get("metrics", {})}
        verb, noun = re.fullmatch("(Create|Describe|List)(.+)", operation).groups()  # type: ignore[union-attr]
        singular = noun if verb != "List" else noun.removesuffix("s")
        kind = re.sub(r"(?<!^)(?=[A-Z])", "-", singular).lower()
        resource = RESOURCES[kind]
        if verb == "Create":
            return {resource.arn_member: self._create(resource, parameters)}
        if verb == "Describe":
            return {resource.member: self._describe(parameters[resource.arn_member])}
        found, start = self._list(resource, parameters), int(parameters.get("nextToken", 0))
        end = start + min(self.page_size, parameters.get("maxResults", self.page_size))
        if self.lists_progress:
            found = [
                *found[:start],
                *(self._describe(each[resource.arn_member]) for each in found[start:end]),
                *found[end:],
            ]
        return {resource.list_member: found[start:end], **({"nextToken": str(end)} if end < len(found) else {})}

    def _create(self, resource: PersonalizeResource, parameters: dict[str, Any]) -> str:
        name = parameters.get(resource.name_member)
        if resource.kind == "solution-version":
            arn = f"{parameters['solutionArn']}/{len(self.resources):08x}"
            namesakes = [old for old, found in self.resources.items() if found.get("name") == name]
            taken = self.version_names_are_unique and bool(namesakes)
            arn = namesakes[0] if taken else arn
        elif resource.kind == "dataset":
            arn = f"{ACCOUNT}:dataset/{parameters['datasetGroupArn'].rpartition('/')[2]}/{parameters['datasetType']}"
            taken = arn in self.resources
        else:
            arn = f"{ACCOUNT}:{resource.kind}/{name}"
            taken = arn in self.resources
        if taken:
            raise Refusal("ResourceAlreadyExistsException", f"Another resource with Arn {arn} already exists.")
        reason = {"failureReason": self.failure_reason} if self.failure_reason else {}
        kept = {member: content for member, content in parameters.items() if member != "tags"}
        self.add(resource.kind, name, self.statuses[0], arn=arn, **kept, **reason)
        self._progress[arn] = list(self.statuses)
        return arn

    def _describe(self, arn: str) -> dict[str, Any]:
        if arn not in self.resources:
            raise Refusal("ResourceNotFoundException", f"Resource Arn {arn} does not exist.")
        coming = self._progress.get(arn, [])
        if coming:
            self.resources[arn]["status"] = coming.pop(0) if len(coming) > 1 else coming[0]
        return self.resources[arn]

    def _list(self, resource: PersonalizeResource, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        wanted = {member: value for member, value in parameters.items() if member.endswith("Arn")}
        return [
            found
            for found in self.resources.values()
            if resource.arn_member in found and wanted.items() <= found.items()
        ]

    # The transports, as the hook imports them ------------------------------------------------------------------------

    def modules(self) -> dict[str, ModuleType]:
        in_process, in_process_async = (
            ModuleType(f"{TRANSPORTS}.{name}") for name in ("in_process", "in_process_async")
        )
        in_process.register = self._register  # type: ignore[attr-defined]
        in_process_async.register = self._register_async  # type: ignore[attr-defined]
        return {
            TRANSPORTS: ModuleType(TRANSPORTS),
            in_process.__name__: in_process,
            in_process_async.__name__: in_process_async,
        }

    def _register(self, session: Any, **arguments: Any) -> None:
        from botocore.awsrequest import AWSResponse

        self.registered.append({"session": session, **arguments})

        def respond(request: Any, **_: Any) -> AWSResponse:
            status, body = self.answer(request)
            return AWSResponse(request.url, status, {}, _Raw(json.dumps(body).encode()))

        session.register("before-send.personalize", respond)

    def _register_async(self, session: Any, **arguments: Any) -> None:
        from aiobotocore.awsrequest import AioAWSResponse

        self.registered.append({"session": session, **arguments})

        async def respond(request: Any, **_: Any) -> AioAWSResponse:
            status, body = self.answer(request)
            return AioAWSResponse(request.url, status, {}, _AsyncRaw(json.dumps(body).encode()))

        session.register("before-send.personalize", respond)


class _Raw(BytesIO):
    def stream(self, **_: Any) -> Any:
        yield self.read()


class _AsyncRaw:
    raw_headers = ()

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self) -> bytes:
        return self._body
