"""mlproject: a laboratory for vision scaling laws."""

__version__ = "0.2.0"
