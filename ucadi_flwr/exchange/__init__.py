"""What travels between sites and server, and each end of it; the arrays are sealed elsewhere."""
