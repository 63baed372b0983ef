"""mlproject: a laboratory for vision scaling laws."""
