"""YAML recipes: a task says what is diagnosed, a strategy how sites train together."""
