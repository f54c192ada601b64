"""Documents, definitions and the package that is built."""
