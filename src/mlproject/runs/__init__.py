"""Runs: one cell, a plan, an analysis, the regions of a data set, each as tracked runs."""
