"""The authorization endpoint: a pipeline of named checks, one a file."""
