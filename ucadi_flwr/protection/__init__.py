"""Protection of what sites send: the server adds models up that it cannot read."""
