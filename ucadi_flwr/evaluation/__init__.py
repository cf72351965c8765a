"""Summable counts and the figures computed from them."""
