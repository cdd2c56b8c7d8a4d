"""What the provider keeps: SQLite by default, PostgreSQL for several instances."""
