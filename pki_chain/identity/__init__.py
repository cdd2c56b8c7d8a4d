"""An operator's part in people's identities: ids for cards, proofs of possession, orders to the ledger, and a watch."""
