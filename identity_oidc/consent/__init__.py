"""What a person is shown and agrees to, and what is kept of it."""
