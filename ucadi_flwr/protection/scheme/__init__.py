"""Slots ⇄ ciphertexts: the lattice schemes, SEAL's objects as bytes, the form on the wire."""
