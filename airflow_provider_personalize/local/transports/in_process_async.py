"""The same as :mod:`in_process` for aiobotocore, whose responses are awaited: what Airflow's triggers use."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.session import AioSession
from botocore.awsrequest import AWSPreparedRequest

from airflow_provider_personalize.local.transports.in_process import attach, reply_to


def register(session: AioSession, *, root: str, environment: Mapping[str, str], region: str = "us-east-1") -> None:
    """See :func:`in_process.register`. The store is read in a thread, so that the event loop is never held."""

    async def answer(request: AWSPreparedRequest, **_: Any) -> AioAWSResponse:
        reply = await asyncio.to_thread(reply_to, request, root=root, environment=environment, region=region)
        return AioAWSResponse(request.url, reply.status, reply.headers, _Body(reply.headers, reply.body))

    attach(session, answer)


class _Body:
    """The part of aiohttp's response that aiobotocore reads."""

    def __init__(self, headers: Mapping[str, str], body: bytes) -> None:
        self.raw_headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._body = body

    async def read(self) -> bytes:
        return self._body
