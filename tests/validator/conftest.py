"""The ledger that tests of validators share."""

from tests.ledger import consortium, ledger_engine

__all__ = ["consortium", "ledger_engine"]
