"""The scaling laws: a value for each, and the table of them all."""
