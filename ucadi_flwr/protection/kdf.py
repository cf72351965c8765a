"""KDF: secret bytes for one purpose from the secret key, by SHAKE-256."""

import hashlib


def derive(key: bytes, label: str, *parts: bytes, size: int) -> bytes:
    """``size`` bytes from which the key cannot be computed.

    Each part is preceded by its length, so that different lists of parts give independent bytes.
    Anybody who holds the key derives the same bytes; SHAKE-256 has 256 bits of security.

    Args:
        key: the secret bytes.
        label: the purpose.
        parts: what else the bytes depend on.
        size: bytes to return.

    >>> derive(b"key", "a", b"b", size=4) == derive(b"key", "ab", size=4)
    False
    """
    state = hashlib.shake_256(b"ucadi protection v1")
    for part in (key, label.encode(), *parts):
        state.update(len(part).to_bytes(8, "big") + part)
    return state.digest(size)
