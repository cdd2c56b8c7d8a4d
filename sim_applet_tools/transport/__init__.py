"""Ways to a card. `pcsc` is the only module that imports smartcard."""
