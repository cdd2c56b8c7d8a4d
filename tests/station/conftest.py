"""The ledger that tests of stations share."""

from tests.ledger import consortium, ledger_engine

__all__ = ["consortium", "ledger_engine"]
