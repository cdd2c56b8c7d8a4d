"""Verifying the ledger's answer without trusting whoever gave it: needs no web3, no Flask, no ledger connection."""
