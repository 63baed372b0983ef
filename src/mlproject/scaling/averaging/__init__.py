"""Laws averaged by their weights, with a discrepancy, for predictions beyond the data."""
