"""A production line's side: certificates wait in a durable outbox, and leave it valid or with a reason."""
