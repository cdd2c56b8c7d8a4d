"""The end of sessions, and how apps are told of it."""
