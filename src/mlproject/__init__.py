"""mlproject: a laboratory for vision scaling laws."""

__version__ = "0.1.0"
