"""A real federation: Flower's own programs, started from a kit and supervised."""
