"""Flower's programs as child processes: start, follow, end."""
