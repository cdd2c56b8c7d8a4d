"""A member's validator: reads batches from the ledger, judges every entry by its own rules and code, endorses."""
