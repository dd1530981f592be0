"""A web server in a thread, with the faults that downloads have to survive."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Server:
    """What the server has and how it behaves; tests change it between requests.

    Attributes
    ----------
    files : path -> bytes.
    ranges : whether it answers Range requests.
    if_range : whether it heeds If-Range.
    etags, dates : whether it sends ETag (MD5 of the bytes) and Last-Modified (which tells the bytes apart, too).
    lengths : whether it says how long a file is.
    cuts : after how many bytes to cut the next answers' connections; an answer takes one, None lets it pass.
    claims : path -> a Content-Length that is not true.
    troubles : (status, headers) of answers to come, before files are served again.
    requests : (method, path, headers) of all requests so far.
    sent : bytes of bodies sent so far.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    if_range: bool = True
    etags: bool = True
    dates: bool = True
    lengths: bool = True
    cuts: list[int | None] = field(default_factory=list)
    claims: dict[str, int] = field(default_factory=dict)
    troubles: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    requests: list[tuple[str, str, Message]] = field(default_factory=list)
    sent: int = 0

    def validators(self, data: bytes) -> dict[str, str]:
        digest = hashlib.md5(data).hexdigest()
        headers = {}
        if self.etags:
            headers["ETag"] = f'"{digest}"'
        if self.dates:
            headers["Last-Modified"] = f"Wed, 11 Jul 2018 05:08:{int(digest, 16) % 60:02d} GMT"
        return headers

    def starts(self) -> list[int]:
        """The first byte that each GET asked for."""
        ranges = [headers.get("Range", "bytes=0-") for method, _, headers in self.requests if method == "GET"]
        return [int(text.removeprefix("bytes=").removesuffix("-")) for text in ranges]


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            server.requests.append((self.command, self.path, self.headers))
            if server.troubles:
                status, headers = server.troubles.pop(0)
                return self.head(status, headers)
            data = server.files.get(self.path)
            if data is None:
                return self.head(404, {})
            status, first, headers = 200, 0, server.validators(data)
            asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
            fresh = not server.if_range or condition is None or condition in headers.values()
            if asked is not None and server.ranges and fresh:
                first = int(asked.removeprefix("bytes=").removesuffix("-"))
                if first >= len(data):
                    return self.head(416, {"Content-Range": f"bytes */{len(data)}"})
                status = 206
                headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
            if server.lengths:
                headers["Content-Length"] = str(server.claims.get(self.path, len(data)) - first)
            self.head(status, headers)
            if body:
                cut = server.cuts.pop(0) if server.cuts else None
                chunk = data[first:] if cut is None else data[first:][:cut]
                server.sent += len(chunk)
                self.wfile.write(chunk)
            return None

        def head(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A running `Server` on this machine."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    state = Server()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(state)) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{running.server_port}"
        try:
            yield state
        finally:
            running.shutdown()
            thread.join()
