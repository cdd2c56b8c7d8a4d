"""The operator's subscriber base, behind a port: who a person is stays in the operator's own database (R-ID-2)."""
