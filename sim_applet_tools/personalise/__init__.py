"""Keys, possession proofs and PINs on a stack of new cards, from the operator's batch file to a registration file."""
