"""Sessions of browsers, challenges for agents, and the check of what a card signed."""
