"""The wire over HTTP, for clients in other processes and languages: an ASGI application on Starlette."""

from __future__ import annotations

import re
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from airflow_provider_personalize.local import wire
from airflow_provider_personalize.local.backend import Backend

# Credential=AKIA.../20261122/eu-west-1/personalize/aws4_request
SIGNED_REGION = re.compile(r"Credential=[^/]+/\d{8}/([a-z0-9-]+)/")
LARGEST_BODY = 1 << 20


def application(backend: Backend, *, region: str, after_call: Callable[[], None] = lambda: None) -> Starlette:
    """The ASGI application: ``POST`` to any path is the wire, ``GET /health`` says that the store answers.

    A signed request is answered in the region it was signed for, an unsigned one in ``region``; no signature is
    verified.
    """

    async def post(request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_BODY:
                message = f"Request bodies are at most {LARGEST_BODY} bytes."
                return JSONResponse({"__type": "RequestEntityTooLargeException", "message": message}, 413)
        signed = SIGNED_REGION.search(request.headers.get("authorization", ""))
        answer = await run_in_threadpool(
            wire.handle,
            backend,
            request.headers.get("x-amz-target", ""),
            bytes(body),
            region=signed[1] if signed else region,
            path=request.url.path,
        )
        after_call()
        return Response(answer.body, answer.status, answer.headers)

    async def health(_: Request) -> Response:
        await run_in_threadpool(backend.store.get, "")
        return JSONResponse({"status": "healthy"})

    return Starlette(routes=[Route("/health", health), Route("/{path:path}", post, methods=["POST"])])
