"""The server's end of a federation: who takes part, how updates are summed, when a round counts."""
