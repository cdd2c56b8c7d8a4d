"""The gateway as one service: the HTTP server and the relayer, each a process, supervised and stopped together."""

from __future__ import annotations

import ipaddress
import time
from typing import Final

from pki_chain.config import MemberConfig
from pki_chain.errors import ConfigurationError
from pki_chain.gateway.data_lock import lock_data
from pki_chain.gateway.inbox import Inbox
from pki_chain.gateway.logs import configure_logs
from pki_chain.gateway.metrics import Counters
from pki_chain.gateway.services import INBOX_FILE, Services, open_delegated_keys, open_status_keys
from tally_service.supervisor import Child, ChildError, check_port, supervise

_EARLY_S: Final = 3.0


def run(config: MemberConfig) -> None:
    """Serve until SIGTERM or SIGINT; call it from the main thread.

    Raises `ConfigurationError`, `StorageError`, `NoStatusKeyError` before anything is started, and `ConfigurationError`
    when a process cannot work with this configuration; its own log line, right above, says why.
    """
    configure_logs("supervisor")
    check_exposure(config)
    with lock_data(config.gateway.data, _EARLY_S) as lock:
        _check_port(config, "port", config.gateway.port)
        if config.gateway.stream_port:
            _check_port(config, "stream_port", config.gateway.stream_port)
        status_keys = open_status_keys(config)
        status_keys.renew(config.member.name, int(time.time()))
        status_keys.check(time.time())
        open_delegated_keys(config).check()
        Services.build(config, time.time)  # what would stop the workers is said here, once
        Inbox(config.gateway.data / INBOX_FILE).close()
        Counters(config.gateway.data / "counters").clear()
        path = str(config.path.absolute())
        names = ["relayer", *["http"] * config.gateway.workers, *["stream"] * bool(config.gateway.stream_port)]
        try:
            supervise([Child(name, f"pki_chain.gateway.{name}_process", path, descriptors=(lock,)) for name in names])
        except ChildError as error:
            raise ConfigurationError(error.message) from error


def check_exposure(config: MemberConfig) -> None:
    """Beyond loopback only with a member token, so that lists are not open by accident. Raises `ConfigurationError`."""
    gateway = config.gateway
    if gateway.port == 0:
        raise ConfigurationError(f"{config.path}: gateway.port must be given: clients have to know it.")
    try:
        is_loopback = gateway.host == "localhost" or ipaddress.ip_address(gateway.host).is_loopback
    except ValueError as error:
        raise ConfigurationError(f"{config.path}: gateway.host must be an IP address or localhost.") from error
    if not is_loopback and gateway.token_file is None:
        raise ConfigurationError(
            f"{config.path}: gateway.host {gateway.host} is open to other machines. Set gateway.token_file as well, so"
            " that lists are for members, and put a TLS proxy before it; or use 127.0.0.1."
        )


def _check_port(config: MemberConfig, key: str, port: int) -> None:
    """Raises `ConfigurationError`."""
    host = config.gateway.host
    try:
        check_port(host, port, _EARLY_S)
    except OSError as error:
        raise ConfigurationError(
            f"{config.path}: gateway.host {host} and gateway.{key} {port} cannot be used: {error.strerror}."
            " Choose others, or stop what uses them."
        ) from error
