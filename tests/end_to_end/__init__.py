"""Processes: the command line, signals, output, targets, Meltano, TLS."""
