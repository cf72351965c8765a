"""Experiments on one machine: every strategy × seed is a run on Flower's simulation engine."""
