"""What several tests use: small data, a network in this process, readers of pages."""
