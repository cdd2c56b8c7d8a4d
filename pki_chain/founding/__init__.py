"""Founding a consortium: who the founders are, a directory for each, and the first contracts on the ledger."""
