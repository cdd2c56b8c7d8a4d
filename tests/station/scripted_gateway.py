"""A gateway on a real socket that answers as a test tells it to: failures that a real one cannot be made to show."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, Any]


@dataclass
class ScriptedGateway:
    """`post` and `get` make the answers; `posted` keeps what came, in order."""

    post: Callable[[dict[str, Any]], Answer]
    get: Callable[[str], Answer]
    address: str = ""
    posted: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def serve(gateway: ScriptedGateway) -> Iterator[ScriptedGateway]:
    """Serve on a free port of the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            gateway.posted.append(content)
            self._answer(*gateway.post(content))

        def do_GET(self) -> None:
            self._answer(*gateway.get(self.path))

        def _answer(self, status: int, content: Any) -> None:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    gateway.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
