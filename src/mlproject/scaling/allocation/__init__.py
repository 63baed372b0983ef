"""Splitting a compute budget between parameters and images, and choosing the next cells to run."""
