"""A model to begin with that the server passes on and cannot read.

It is not added to anything, so AES-256-GCM does: under a key derived from the sites' secret one,
bound to the names and shapes of the network's tensors. Whoever alters it is found out.
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
from ucadi_flwr.files.limits import SEALED_HEADER_BYTES
from ucadi_flwr.protection.encoding.layout import Layout
from ucadi_flwr.protection.frame import ID
from ucadi_flwr.protection.keys import SiteKey

MAGIC = b"UCI1"
_NONCE, _TAG = 12, 16
Shapes = Mapping[str, tuple[int, ...]]


def seal_initial(key: SiteKey, state: Mapping[str, NDArray[np.float32]]) -> bytes:
    """Magic, key id, nonce, and the encrypted safetensors: 4 bytes a value and a header."""
    nonce = os.urandom(_NONCE)
    shapes = {name: values.shape for name, values in state.items()}
    content = save({name: np.ascontiguousarray(values) for name, values in state.items()})
    head = MAGIC + key.key_id + nonce
    return head + _cipher(key).encrypt(nonce, content, _about(key, shapes))


def open_initial(key: SiteKey, blob: bytes, shapes: Shapes) -> dict[str, NDArray[np.float32]]:
    """The model, for a network of these shapes.

    Raises :class:`ProtectionError` where it is none, is under another key, is for another network,
    or was altered.
    """
    check_initial(blob, key.key_id, Layout(shapes).values)
    nonce = blob[len(MAGIC) + ID :][:_NONCE]
    try:
        content = _cipher(key).decrypt(nonce, blob[len(MAGIC) + ID + _NONCE :], _about(key, shapes))
        return dict(load(content))
    except (InvalidTag, SafetensorError):
        raise ProtectionError(
            "the sealed initial model is altered, or for another network"
        ) from None


def check_initial(blob: bytes, key_id: bytes, values: int) -> None:
    """What can be said without the secret key: a server refuses a wrong file before it starts."""
    if not blob.startswith(MAGIC):
        raise ProtectionError("this is no sealed initial model; make one with ucadi seal")
    if blob[len(MAGIC) :][:ID] != key_id:
        raise ProtectionError(
            f"the initial model is sealed under key {blob[len(MAGIC) :][:ID].hex()}, and the run's "
            f"is {key_id.hex()}; seal it anew"
        )
    payload = len(blob) - len(MAGIC) - ID - _NONCE - _TAG
    if not 4 * values <= payload <= 4 * values + SEALED_HEADER_BYTES:
        raise ProtectionError(
            f"the sealed initial model has {payload} bytes; this network's has {4 * values} and a "
            "header"
        )


def _cipher(key: SiteKey) -> AESGCM:
    return AESGCM(key.derived("initial model"))


def _about(key: SiteKey, shapes: Shapes) -> bytes:
    """What the ciphertext is bound to."""
    listed = ";".join(f"{name}:{tuple(shape)}" for name, shape in shapes.items())
    return MAGIC + key.key_id + listed.encode()
