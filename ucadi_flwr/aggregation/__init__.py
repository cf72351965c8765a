"""How the server combines what the sites send: pure functions over arrays."""
