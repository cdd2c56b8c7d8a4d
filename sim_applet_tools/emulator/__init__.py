"""A SIM card in software, for tests and for trying things out. It protects no key; its application data says so."""
