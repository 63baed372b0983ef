"""Least-squares fits of one law to points: parameters, intervals, verdict and predictions."""
