"""Answers a boto3 session's Personalize requests in its own process; only the socket is replaced.

Nothing runs in the background here, so each call also starts runners for jobs that wait for one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.session import Session
from botocore.utils import parse_timestamp

from airflow_provider_personalize.local import runner, wire
from airflow_provider_personalize.local.backend import open_backend
from airflow_provider_personalize.service_model import ENDPOINTS


def register(session: Session, *, root: str, environment: Mapping[str, str], region: str = "us-east-1") -> None:
    """Answer every Personalize client of ``session``, events and runtime too, from the backend in directory ``root``.

    ``environment`` reaches the runners of jobs that these calls start: the S3 endpoint and keys of the caller's
    connection.
    """

    def answer(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        reply = reply_to(request, root=root, environment=environment, region=region)
        return AWSResponse(request.url, reply.status, reply.headers, _Body(reply.body))

    attach(session, answer)


def attach(session: Session, answer: Callable[..., object]) -> None:
    """Have ``answer`` take the Personalize requests of ``session``, and its clients keep the times that they parse.

    The times of a listing are mostly those of the listing before, and of an answer they take botocore the longest.
    """
    for endpoint in ENDPOINTS:
        session.register(f"before-send.{endpoint}", answer, unique_id=f"personalize-local-{endpoint}")
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_parsed_time)


_parsed_time = lru_cache(maxsize=4096)(parse_timestamp)


def reply_to(request: AWSPreparedRequest, *, root: str, environment: Mapping[str, str], region: str) -> wire.Answer:
    backend = open_backend(Path(root))
    target, body = request.headers.get("X-Amz-Target", ""), request.body or b""
    text = target.decode() if isinstance(target, bytes) else target
    raw = body.encode() if isinstance(body, str) else body
    reply = wire.handle(backend, text, raw, region=region, path=urlsplit(request.url).path or "/")
    runner.start_waiting(backend, environment)
    return reply


class _Body(BytesIO):
    """What botocore reads a response from: urllib3's ``stream``."""

    def stream(self, **_: Any) -> Any:
        while chunk := self.read(65536):
            yield chunk
