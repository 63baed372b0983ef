"""Tuning: the knobs of each coordinate found by a search over trials, each judged by validation images."""
