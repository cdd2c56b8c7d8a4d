"""The agent's face in a browser, on the loopback address of this machine only. Works without JavaScript."""
