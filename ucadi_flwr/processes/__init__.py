"""Flower's programs as child processes: start them, follow their progress, end them."""
