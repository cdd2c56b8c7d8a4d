"""Keys, ID Tokens, access and refresh tokens."""
