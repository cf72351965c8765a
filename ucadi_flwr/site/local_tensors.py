"""The tensors that stay at a site, on the site's own disk: FedBN's layers, a head of its own.

A new process serves every message, and a run may continue in another one; nothing here leaves the
site.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ucadi_flwr.errors import DataError
from ucadi_flwr.files.atomic import replacing

KEPT_ROUNDS = 2
"""Rounds: a round may be repeated, and must start as it did the first time."""


class LocalTensors:
    """Those of one run at one site. ``folder`` is the run's, at the site; it need not exist."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, server_round: int, tensors: Mapping[str, NDArray[np.float32]]) -> None:
        """Remember them as they are after a round; what is of later or much older rounds goes."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        plain = {name: np.ascontiguousarray(values) for name, values in tensors.items()}
        with replacing(self._file(server_round)) as partial:
            save_file(plain, partial)
        former = [number for number in self._rounds() if number <= server_round]
        for number in set(self._rounds()) - set(former[-KEPT_ROUNDS:]):
            self._file(number).unlink()

    def after(self, server_round: int) -> dict[str, NDArray[np.float32]]:
        """Those of that round, or of the last one before it in which the site took part.

        Nothing if there is none: the site is new, or it forgot.
        """
        former = [number for number in self._rounds() if number <= server_round]
        if not former:
            return {}
        path = self._file(former[-1])
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise DataError(
                f"{path}: damaged ({error}); delete it, and the site starts with the run's "
                "initial tensors"
            ) from None

    def _file(self, number: int) -> Path:
        return self.folder / f"own-{number}.safetensors"

    def _rounds(self) -> list[int]:
        """The rounds that are kept, in their order."""
        names = [path.stem.removeprefix("own-") for path in self.folder.glob("own-*.safetensors")]
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())
