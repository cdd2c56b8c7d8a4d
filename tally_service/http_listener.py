"""A process that serves an application over HTTP, in one thread, and shares its port with others that do the same.

Source: RFC 9112 §9; socket(7), SO_REUSEPORT.
"""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import Callable
from typing import Final

import uvloop

from tally_service.http_connection import Connection, Patience
from tally_service.http_exchange import date_now
from tally_service.http_request import Application

LOOK_EVERY_S: Final = 1.0
STOP_TIMEOUT_S: Final = 10.0
_BACKLOG: Final = 1_024


class Listener:
    """All connections of one process. Used from its event loop only."""

    def __init__(
        self,
        application: Application,
        most_connections: int,
        *,
        patience: Patience | None = None,
        look_every_s: float = LOOK_EVERY_S,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_stop` is called before the connections are waited for: it ends answers that do not end by themselves."""
        self.application = application
        self.patience = patience or Patience()
        self.now = 0.0
        self.date = date_now()
        self.connections: set[Connection] = set()
        self.is_closing = False
        self._most_connections = most_connections
        self._look_every_s = look_every_s
        self._on_stop = on_stop
        self._server: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen on this port, or on one that is free where it is 0; which it is. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        self._look()
        self._server = await loop.create_server(lambda: Connection(self), host, port, reuse_port=True, backlog=_BACKLOG)
        return int(self._server.sockets[0].getsockname()[1])

    def has_room(self) -> bool:
        """Whether one more connection is taken."""
        return not self.is_closing and len(self.connections) < self._most_connections

    async def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Take nothing new, and end when everybody has an answer, or after this time."""
        self.is_closing = True
        if self._server is not None:
            self._server.close()
        self._on_stop()
        for connection in [*self.connections]:
            connection.close()
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while self.connections and loop.time() < end:
            await asyncio.sleep(0.01)
        for connection in [*self.connections]:
            connection.abort()
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.sleep(0)  # what was ended is told so

    def _look(self) -> None:
        """What time it is, and whether somebody has had too much of it."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._look_every_s, self._look)
        self.now, self.date = loop.time(), date_now()
        for connection in [*self.connections]:
            connection.look()


def serve(
    application: Application,
    host: str,
    port: int,
    most_connections: int,
    *,
    on_stop: Callable[[], None] = lambda: None,
    stop_timeout_s: float = STOP_TIMEOUT_S,
) -> None:
    """Serve until SIGTERM or SIGINT. Raises `OSError` where the port cannot be had."""
    _allow_files()
    uvloop.run(_serve(Listener(application, most_connections, on_stop=on_stop), host, port, stop_timeout_s))


async def _serve(listener: Listener, host: str, port: int, stop_timeout_s: float) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    await listener.start(host, port)
    await told.wait()
    await listener.stop(stop_timeout_s)


def _allow_files() -> None:
    """Every connection is one: as many as may be had, where fewer are given by default."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
