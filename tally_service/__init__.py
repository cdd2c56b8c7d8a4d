"""What services of every package stand on, and nothing about what they do: it imports none of the other packages."""
