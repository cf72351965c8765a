"""An initial model that the server passes on and cannot read: AES-256-GCM under the sites' key.

It is not added to anything, so that no homomorphic scheme is needed.

**Threat model.** The server and the network hold no key: they cannot read the model, and an altered
one does not open (256-bit key, 128-bit tag). The AES key is derived from the sites' secret key, and
the ciphertext is bound to the names and shapes of the network's tensors. Every site holds the key
and can read, or make, a sealed model. The nonce is 96 random bits for each model that is sealed.
The server can still send another model of the same network that was sealed under the same key.
"""

import os
from collections.abc import Mapping

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.limits import SEALED_HEADER_BYTES
from ucadi_flwr.protection.encoding.layout import Layout
from ucadi_flwr.protection.frame import ID_BYTES
from ucadi_flwr.protection.keys import SiteKey

MAGIC = b"UCI1"
_NONCE, _TAG = 12, 16  # bytes
Shapes = Mapping[str, tuple[int, ...]]
"""Tensor name → shape, in the network's order."""


def seal_initial(key: SiteKey, state: Mapping[str, NDArray[np.float32]]) -> bytes:
    """Magic, key id, nonce, and the encrypted safetensors: 4 bytes a value and a header.

    Args:
        key: the secret key that all sites share.
        state: the model, float32, its tensors in the network's order.

    >>> key, state = SiteKey.create("bfv"), {"bias": np.array([0.5], np.float32)}
    >>> open_initial(key, seal_initial(key, state), {"bias": (1,)})["bias"].tolist()
    [0.5]
    """
    nonce = os.urandom(_NONCE)
    shapes = {name: values.shape for name, values in state.items()}
    content = save({name: np.ascontiguousarray(values) for name, values in state.items()})
    head = MAGIC + key.key_id + nonce
    return head + _cipher(key).encrypt(nonce, content, _associated_data(key, shapes))


def open_initial(key: SiteKey, blob: bytes, shapes: Shapes) -> dict[str, NDArray[np.float32]]:
    """The model, for a network of these shapes.

    Args:
        key: the secret key that all sites share.
        blob: what :func:`seal_initial` returned.
        shapes: those of the network that the model is for.

    Raises :class:`ProtectionError` where the bytes are not a sealed model, are under another key,
    are for another network, or were altered.
    """
    check_initial(blob, key.key_id, Layout(shapes).values)
    nonce, content = blob[len(MAGIC) + ID_BYTES :][:_NONCE], blob[len(MAGIC) + ID_BYTES + _NONCE :]
    try:
        return dict(load(_cipher(key).decrypt(nonce, content, _associated_data(key, shapes))))
    except (InvalidTag, SafetensorError):
        raise ProtectionError(
            "the sealed initial model is altered, or for another network"
        ) from None


def check_initial(blob: bytes, key_id: bytes, values: int) -> None:
    """Check all that can be checked without the key: a server refuses a wrong file at the start.

    Args:
        blob: the sealed model.
        key_id: 16 bytes of the run's key id.
        values: how many values the network has.

    Raises :class:`ProtectionError` on another format, key id or size.
    """
    if not blob.startswith(MAGIC):
        raise ProtectionError("this is not a sealed initial model; make one with ucadi seal")
    if blob[len(MAGIC) :][:ID_BYTES] != key_id:
        raise ProtectionError(
            f"the initial model is sealed under key {blob[len(MAGIC) :][:ID_BYTES].hex()}, and the "
            f"run's is {key_id.hex()}; seal it again under the run's key"
        )
    payload = len(blob) - len(MAGIC) - ID_BYTES - _NONCE - _TAG
    if not 4 * values <= payload <= 4 * values + SEALED_HEADER_BYTES:
        raise ProtectionError(
            f"the sealed initial model has {payload} bytes; this network's has {4 * values} and a "
            "header"
        )


def _cipher(key: SiteKey) -> AESGCM:
    return AESGCM(key.derived("initial model"))


def _associated_data(key: SiteKey, shapes: Shapes) -> bytes:
    """What the ciphertext is bound to."""
    listed = ";".join(f"{name}:{tuple(shape)}" for name, shape in shapes.items())
    return MAGIC + key.key_id + listed.encode()
