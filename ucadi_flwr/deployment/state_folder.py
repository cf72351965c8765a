"""The state folder of a server or a site: outside the kit, readable by its own account only."""

import contextlib
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import psutil

from ucadi_flwr.deployment.kit.certificates import digest, parse_certificate
from ucadi_flwr.errors import FederationError
from ucadi_flwr.files.locks import held
from ucadi_flwr.processes.children import GRACE_SECONDS, end_all, processes_using

_LONG_LIVED = (
    *("flower-superlink", "flower-supernode", "flower-superexec"),
    *("flwr-serverapp", "flwr-clientapp"),
)


@dataclass(frozen=True)
class State:
    """The folder, mode 0700, and the paths in it."""

    folder: Path

    @property
    def flower(self) -> Path:
        """Flower's home (``FLWR_HOME``); ``config.toml`` in it says where the SuperLink is."""
        return self.folder / "flower"

    @property
    def database(self) -> Path:
        """The SuperLink's database: nodes, runs and messages."""
        return self.folder / "superlink.db"

    @property
    def roster(self) -> Path:
        """Which node is which site."""
        return self.folder / "roster.json"

    @property
    def last_run(self) -> Path:
        """The run that was submitted last."""
        return self.folder / "last-run.json"

    @property
    def cache(self) -> Path:
        """A site's preprocessed images."""
        return self.folder / "cache"

    @property
    def memory(self) -> Path:
        """What a site remembers of runs: what it sealed, and its models between rounds."""
        return self.folder / "memory"

    def locked(self) -> AbstractContextManager[None]:
        """Hold the folder's lock; raise :class:`FederationError` if another command holds it."""
        return held(self.folder, "stop it, or name another --state")

    def end_leftovers(self) -> None:
        """End the Flower programs that a killed command of this state left running."""
        for process in processes_using(self.flower):
            with contextlib.suppress(psutil.Error):
                if any(Path(word).name in _LONG_LIVED for word in process.cmdline()[:2]):
                    end_all([process], GRACE_SECONDS)

    def log(self, program: str) -> Path:
        """The output of one of Flower's programs."""
        return self.folder / f"{program}.log"


def open_state(folder: Path | None, party: str, authority: Path) -> State:
    """The state folder of a party in the federation of an authority; made if it does not exist.

    Args:
        folder: ``--state``; None is ``$XDG_STATE_HOME/ucadi/PARTY-…``, in ``~/.local/state`` if
            that is not set, with the first digits of the authority's digest.
        party: ``server`` or ``site-NAME``.
        authority: the certificate of the kit's authority.

    Raises :class:`FederationError` if the folder is in a kit or cannot be made.
    """
    if folder is None:
        mark = digest(parse_certificate(authority.read_bytes(), str(authority)))[:12]
        folder = _home() / "ucadi" / f"{party}-{mark}"
    folder = folder.absolute()
    if folder.is_relative_to(authority.parent.resolve()):
        raise FederationError(f"{folder}: nothing may be written into a kit; name another --state")
    state = State(folder)
    try:
        for path in (folder, state.flower):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise FederationError(
            f"{folder}: cannot be made ({error.strerror}); name another --state"
        ) from None
    return state


def _home() -> Path:
    named = Path(os.environ.get("XDG_STATE_HOME", ""))
    return named if named.is_absolute() else Path.home() / ".local" / "state"
