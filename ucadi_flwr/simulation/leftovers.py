"""What an experiment that was killed outright left behind: ended and removed by the next one.

Ctrl-C and SIGTERM leave nothing. After ``kill -9`` Flower's processes may run on; they are known
by their folder, which an experiment holds a lock on for as long as it lives.
"""

import contextlib
import os
import shutil
from pathlib import Path

from ucadi_flwr.errors import FederationError
from ucadi_flwr.locks import LOCK, held
from ucadi_flwr.processes import end_all, users_of

_GRACE_SECONDS = 5.0


def sweep(parent: Path, mark: str) -> None:
    """End the processes of this account's folders that nobody holds, and remove the folders."""
    for folder in sorted(parent.glob(f"{mark}*")):
        with contextlib.suppress(OSError, FederationError):
            if folder.stat().st_uid != os.getuid() or not (folder / LOCK).is_file():
                continue
            with held(folder, "its experiment lives"):
                end_all(users_of(folder), _GRACE_SECONDS)
            shutil.rmtree(folder, ignore_errors=True)
