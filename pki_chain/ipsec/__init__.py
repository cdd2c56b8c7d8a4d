"""IPsec security gateways that take their peers from the ledger: strongSwan, through its control interface."""
