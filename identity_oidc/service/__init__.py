"""The provider as processes: HTTP workers and a housekeeper, supervised together."""
