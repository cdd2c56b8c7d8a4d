"""The token endpoint: Authlib's grants and client authentication over our store."""
