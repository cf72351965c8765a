"""Measures of a test: arrays in, numbers out; no files and no recipes."""
