"""Predictions averaged over laws by their weights."""
