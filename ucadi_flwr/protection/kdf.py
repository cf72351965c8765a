"""Secret bytes for one purpose, from the secret key: SHAKE-256 with framed parts."""

import hashlib


def derive(key: bytes, label: str, *parts: bytes, size: int) -> bytes:
    """``size`` bytes that say nothing of the key; no two lists of parts can pose as one another."""
    found = hashlib.shake_256(b"ucadi protection v1")
    for part in (key, label.encode(), *parts):
        found.update(len(part).to_bytes(8, "big") + part)
    return found.digest(size)
