"""Inert YAML recipes: what is diagnosed (a task) and how sites learn together (a strategy)."""
