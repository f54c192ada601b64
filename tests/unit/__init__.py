"""Tables of values, in process."""
