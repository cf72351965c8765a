"""How the models of the sites become the next global model: pure functions over arrays."""
