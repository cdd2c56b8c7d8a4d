"""Serves OCSP alone, over a read model that was written without a ledger."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Final

from flask import Flask

from pki_chain.config import GatewaySection
from pki_chain.gateway.freshness import Freshness
from pki_chain.gateway.front import Front
from pki_chain.gateway.http_process import MOST_CONNECTIONS
from pki_chain.gateway.metrics import Counters
from pki_chain.gateway.ocsp_answers import OcspAnswers
from pki_chain.gateway.ocsp_cache import OcspCache
from pki_chain.gateway.status_answers import StatusAnswers, StatusCache
from pki_chain.index.change_log import ChangeLog
from pki_chain.index.queries import ReadModel
from pki_chain.status.status_key import StatusKeys
from tally_service.http_listener import serve
from tally_service.parent import end_with_parent

DATABASE: Final = "index.sqlite"
KEYS: Final = "keys"
PASSPHRASE: Final = "passphrase"


def create(root: Path) -> Front:
    """The gateway's front over the read model in a directory."""
    model = ReadModel(root / DATABASE)
    freshness = Freshness(model, time.time)
    answers = OcspAnswers(model, freshness, StatusKeys(root / KEYS, (root / PASSPHRASE).read_bytes))
    cache = OcspCache(answers, model, ChangeLog(model), freshness)
    status = StatusCache(StatusAnswers(model, freshness), model)
    return Front(Flask("bench").wsgi_app, status, Counters(root / "counters"), cache)


if __name__ == "__main__":
    first = os.getpid()
    for _ in range(GatewaySection().workers - 1):
        if os.fork() == 0:
            end_with_parent(first)
            break
    serve(create(Path(sys.argv[1])), "127.0.0.1", int(sys.argv[2]), MOST_CONNECTIONS)
