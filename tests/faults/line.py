"""A line to a served backend on which requests and answers go wrong, each as a test has scripted it."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, bytes]
Forward = Callable[[], Answer]
# What happens to one call: it may forward the call or not, and answers, or raises Broken.
Fault = Callable[[Forward], Answer]

#: The port at which the client waits whose call is being answered.
caller: ContextVar[int] = ContextVar("caller")


class Broken(Exception):
    """The connection is reset; ``sent`` of the answer were on their way."""

    def __init__(self, sent: Answer | None = None) -> None:
        self.sent = sent


def refused(status: int, code: str, message: str = "refused") -> Fault:
    """An error of the service's, in its format; the call is not handled."""
    return lambda forward: (status, json.dumps({"__type": code, "message": message}).encode())


def unhandled(status: int, body: bytes = b"<html>Bad Gateway</html>") -> Fault:
    """An answer of something in between, in no format of the service's."""
    return lambda forward: (status, body)


def reset(forward: Forward) -> Answer:
    """The connection is reset before the call is handled."""
    raise Broken


def lost(forward: Forward) -> Answer:
    """The call is handled, and the connection is reset in place of the answer."""
    forward()
    raise Broken


def cut(forward: Forward) -> Answer:
    """The call is handled, and half of the answer arrives."""
    raise Broken(forward())


def garbled(forward: Forward) -> Answer:
    """The call is handled, and what arrives is not its answer."""
    status, _ = forward()
    return status, b"\x00\x01 no JSON"


def halved(forward: Forward) -> Answer:
    """The call is handled, and what arrives is half of the answer, as if that were all of it."""
    status, body = forward()
    return status, body[: len(body) // 2]


def slow(seconds: float) -> Fault:
    """The call is handled at once, and answered late."""

    def answer(forward: Forward) -> Answer:
        answered = forward()
        time.sleep(seconds)
        return answered

    return answer


def after(action: Callable[[], object]) -> Fault:
    """The call is handled, then ``action`` happens, then the answer arrives."""

    def answer(forward: Forward) -> Answer:
        answered = forward()
        action()
        return answered

    return answer


def before(action: Callable[[], object]) -> Fault:
    """``action`` happens, then all goes well."""

    def answer(forward: Forward) -> Answer:
        action()
        return forward()

    return answer


@dataclass
class Line:
    """:ivar script: by operation, what happens to its first calls, one each; all later ones go well."""

    host: str
    port: int
    url: str = ""
    script: dict[str, list[Fault | None]] = field(default_factory=dict)
    arrived: Counter[str] = field(default_factory=Counter)
    before_call: Callable[[str, dict[str, Any]], None] = lambda operation, parameters: None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def clear(self) -> None:
        self.script, self.before_call = {}, lambda operation, parameters: None
        self.arrived.clear()

    def answer(self, operation: str, headers: dict[str, str], body: bytes) -> Answer:
        with self._lock:
            self.arrived[operation] += 1
            coming = self.script.get(operation)
            fault = coming.pop(0) if coming else None

        def forward() -> Answer:
            self.before_call(operation, json.loads(body))
            upstream = http.client.HTTPConnection(self.host, self.port, timeout=30)
            try:
                upstream.request("POST", "/", body, headers)
                response = upstream.getresponse()
                return response.status, response.read()
            finally:
                upstream.close()

        return fault(forward) if fault else forward()


@contextmanager
def line_to(host: str, port: int) -> Iterator[Line]:
    line = Line(host, port)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            caller.set(self.client_address[1])
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept = {name: self.headers[name] for name in ("X-Amz-Target", "Content-Type", "Authorization")}
            headers = {name: value for name, value in kept.items() if value is not None}
            try:
                self._send(*line.answer(headers["X-Amz-Target"].rpartition(".")[2], headers, body))
            except Broken as broken:
                if broken.sent is not None:
                    self._send(*broken.sent, cut=True)
                self._break()
            except (BrokenPipeError, ConnectionResetError):  # the client did not wait, or was killed
                self.close_connection = True

        def _send(self, status: int, body: bytes, cut: bool = False) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if cut else body)

        def _break(self) -> None:
            # A linger of zero seconds makes the close a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Clients that are killed, and leave, are what this line is for."""

    server = Server(("127.0.0.1", 0), Handler)
    line.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield line
    server.shutdown()
    server.server_close()
