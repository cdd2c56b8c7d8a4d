"""A provider by its configuration: with the ledger by gateways, and the subscriber base by its SQL address."""

from __future__ import annotations

import time

from identity_oidc.config import ProviderConfig
from identity_oidc.errors import ConfigurationError
from identity_oidc.ledger import GatewayLedger
from identity_oidc.provider import Provider
from identity_oidc.subscribers.errors import SubscriberSettingError
from identity_oidc.subscribers.sql import SqlSubscriberBase


def assemble(config: ProviderConfig) -> Provider:
    """Raises `ConfigurationError`, `StorageError`."""
    subscribers = None
    if config.provider.subscribers:
        try:
            subscribers = SqlSubscriberBase.open(config.provider.subscribers)
        except SubscriberSettingError as error:
            raise ConfigurationError(f"{config.path}: provider.subscribers: {error.message}") from error
    return Provider.open(config, time.time, GatewayLedger(config.ledger), subscribers)
