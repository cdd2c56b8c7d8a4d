"""The embedded engine: an EVM ledger of one process, durable by its own journal."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self


class EmbeddedEngine:
    """A supervised anvil behind our JSON-RPC front on `host`:`port` (0 chooses a free one).

    `chain_id` None or 0 chooses one at random on the first start; later starts read it from the journal.
    """

    def __init__(
        self,
        directory: Path,
        host: str = "127.0.0.1",
        port: int = 8545,
        chain_id: int | None = None,
        heartbeat_s: float = 15.0,
    ) -> None:
        raise NotImplementedError

    @property
    def endpoint(self) -> str:
        """`http://host:port` of the front, once started."""
        raise NotImplementedError

    @property
    def chain_id(self) -> int:
        raise NotImplementedError

    def start(self) -> None:
        """Recover the journal, start child and front; returns when the front answers."""
        raise NotImplementedError

    def stop(self) -> None:
        """Take nothing more in, put what was acknowledged into a block, and end the child."""
        raise NotImplementedError

    def serve_forever(self) -> None:
        """Start, and serve until SIGTERM or SIGINT; raises `EngineStoppedError` when the engine stopped itself."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
