"""The provider's processes, supervised together."""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import Final

from identity_oidc.config import ProviderConfig
from identity_oidc.errors import ConfigurationError
from identity_oidc.service.assembly import assemble
from identity_oidc.service.http_process import COUNTERS_VARIABLE
from identity_oidc.service.logs import configure_logs
from tally_service.supervisor import Child, ChildError, check_port, supervise

_PORT_PATIENCE_S: Final = 3.0


def run(config: ProviderConfig) -> None:
    """Serve until SIGTERM or SIGINT; from the main thread.

    Raises `ConfigurationError`, `StorageError`, `KeyTokenError` before anything is started, and `ConfigurationError`
    when a process cannot work with this configuration; its own log line, right above, says why.
    """
    configure_logs("supervisor")
    assemble(config).database.close()  # what would stop the processes is said here, once
    host, port = config.provider.host, config.provider.port
    try:
        check_port(host, port, _PORT_PATIENCE_S)
    except OSError as error:
        raise ConfigurationError(
            f"{config.path}: provider.host {host} and provider.port {port} cannot be used: {error.strerror}"
        ) from error
    path = str(config.path.absolute())
    with TemporaryDirectory(prefix="tally-oidc-") as counters:
        environment = {COUNTERS_VARIABLE: counters}
        try:
            supervise(
                [
                    Child(name, f"identity_oidc.service.{name}_process", path, environment=environment)
                    for name in ("housekeeper", *["http"] * config.provider.workers)
                ]
            )
        except ChildError as error:
            raise ConfigurationError(error.message) from error
