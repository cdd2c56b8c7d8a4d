"""OpenID provider: apps log people in with a signature of their SIM, and learn no more than was granted."""
