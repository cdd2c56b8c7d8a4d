"""What is served over HTTP: thin, one module a group of routes."""
