"""Measurements (`make bench`): figures with the machine and engine they belong to, and peers in the same run."""
