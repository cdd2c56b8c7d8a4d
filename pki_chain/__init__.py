"""Decentralised PKI: device certificates verified and published by contract, checked by several organisations."""

__version__ = "0.1.0"
