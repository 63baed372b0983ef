"""One law fitted to points: parameters, intervals, verdict and predictions."""
