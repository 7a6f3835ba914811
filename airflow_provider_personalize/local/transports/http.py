"""The wire over HTTP, for clients in other processes and languages: an ASGI application on Starlette."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from airflow_provider_personalize.local import wire
from airflow_provider_personalize.local.backend import Backend

# Credential=AKIA.../20261122/eu-west-1/personalize/aws4_request
SIGNED_REGION = re.compile(r"Credential=[^/]+/\d{8}/([a-z0-9-]+)/")
READS = re.compile(r"\w+\.(Describe|Get|List)")
LARGEST_BODY = 1 << 20


def application(backend: Backend, *, region: str, after_change: Callable[[], None] = lambda: None) -> Starlette:
    """The ASGI application: ``POST`` to any path is the wire, ``GET /health`` says that the store answers.

    A signed request is answered in the region it was signed for, an unsigned one in ``region``; no signature is
    verified. ``after_change`` is called after each request that may have changed something.
    """

    async def health(_: Request) -> Response:
        await run_in_threadpool(backend.store.get, "")
        return JSONResponse({"status": "healthy"})

    post = _Wire(backend, region, after_change)
    return Starlette(routes=[Route("/health", health), Route("/{path:path}", post, methods=["POST"])])


@dataclass(frozen=True)
class _Wire:
    """Straight on ASGI, since a request and a response of Starlette's take longer than the answer."""

    backend: Backend
    region: str
    after_change: Callable[[], None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if len(body) > LARGEST_BODY:
                text = f"Request bodies are at most {LARGEST_BODY} bytes."
                refusal = JSONResponse({"__type": "RequestEntityTooLargeException", "message": text}, 413)
                return await refusal(scope, receive, send)
            if not message.get("more_body", False):
                break
        headers = dict(scope["headers"])
        target = headers.get(b"x-amz-target", b"").decode("latin-1")
        signed = SIGNED_REGION.search(headers.get(b"authorization", b"").decode("latin-1"))
        region = signed[1] if signed else self.region
        answer = await run_in_threadpool(
            wire.handle, self.backend, target, bytes(body), region=region, path=scope["path"]
        )
        if not READS.match(target):
            self.after_change()
        given = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        given.append((b"content-length", b"%d" % len(answer.body)))
        await send({"type": "http.response.start", "status": answer.status, "headers": given})
        await send({"type": "http.response.body", "body": answer.body})
