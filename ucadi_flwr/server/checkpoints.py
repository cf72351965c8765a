"""A run's checkpoints: after every round, all that another process needs to continue from there.

A round is one JSON manifest, written last and atomically. It names the sums by their SHA-256, and
each sum is a file of that name, so that a sum which stays is not written again. Nothing in it can
be read that the server could not read before: under encryption sums are ciphertexts here too.
"""

import contextlib
import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ucadi_flwr.errors import FederationError
from ucadi_flwr.exchange.agreement import parse_name
from ucadi_flwr.files.atomic import replacing
from ucadi_flwr.limits import CHECKPOINT_MANIFEST_BYTES
from ucadi_flwr.results.rounds import RoundRecord
from ucadi_flwr.server.run_state import RunState

KEPT_CHECKPOINTS = 2
"""So many rounds can be gone back to; what is older is removed."""

_MANIFEST = re.compile(r"round-([0-9]{5})\.json")

Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class RunIdentity(BaseModel):
    """What a run is; one that differs in any value cannot continue from another's checkpoint."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Hash = Field(description="digest of the task recipe")
    strategy: Hash = Field(description="digest of the strategy recipe")
    initial: Hash = Field(description="digest of the model that all start from")
    key_id: str = Field(description="of the sites' key")
    seed: int
    rounds: int


class Manifest(BaseModel):
    """One checkpoint. ``starts``: how many processes have served the run so far."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["ucadi-checkpoint-1"] = "ucadi-checkpoint-1"
    identity: RunIdentity
    run: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    starts: int = Field(ge=1, le=8_000)
    round: int = Field(ge=1)
    models: dict[str, dict[str, Hash]]
    others: dict[str, Hash]
    ledger: list[RoundRecord]


@dataclass(frozen=True)
class RunStart:
    """What a process starts with: the run's number, how many served it before, and its state."""

    run: str
    starts: int = 0
    state: RunState | None = None


class Checkpoints:
    """The checkpoints in a folder, of one run; ``keep_all`` is the state's."""

    def __init__(self, folder: Path, identity: RunIdentity, keep_all: bool) -> None:
        self.folder, self.identity, self._keep_all = folder, identity, keep_all
        self._run, self._starts = secrets.token_hex(16), 0

    def start(self) -> RunStart:
        """Start a new run. Raises :class:`FederationError` if an unfinished one would be lost."""
        if self._manifests():
            raise FederationError(
                f"{self.folder}: a run did not finish here; resume it, or choose another --out"
            )
        return RunStart(self._run)

    def resume(self) -> RunStart:
        """Continue from the newest checkpoint; start a new run if there is none.

        Raises :class:`FederationError` where it is another run's, damaged or altered.
        """
        manifest = self.newest()
        if manifest is None:
            return RunStart(self._run)
        state = self.state(manifest)
        self._run, self._starts = manifest.run, manifest.starts
        self._write(manifest.model_copy(update={"starts": manifest.starts + 1}))
        return RunStart(self._run, self._starts, state)

    def newest(self) -> Manifest | None:
        """The checkpoint to continue from; None if there is none.

        Raises :class:`FederationError` where it is another run's, damaged or altered.
        """
        paths = self._manifests()
        if not paths:
            return None
        manifest = _read(paths[-1])
        theirs, ours = manifest.identity.model_dump(), self.identity.model_dump()
        if other := [name.replace("_", " ") for name in ours if ours[name] != theirs[name]]:
            raise FederationError(
                f"{paths[-1]}: is of another run ({' and '.join(other)} differ); resume with the "
                "same recipes, key, seed and rounds, or start anew with another --out"
            )
        return manifest

    def state(self, manifest: Manifest) -> RunState:
        """The state that a manifest describes, every sum checked."""
        models = {
            trained_at: {name: self._blob(sums[name]) for name in sorted(sums, key=parse_name)}
            for trained_at, sums in manifest.models.items()
        }
        others = {name: self._blob(digest) for name, digest in manifest.others.items()}
        return RunState(self._keep_all, tuple(manifest.ledger), models, others)

    def save(self, state: RunState) -> None:
        """Write the checkpoint of the newest round; checkpoints of later rounds are removed.

        Of earlier ones :data:`KEPT_CHECKPOINTS` stay. Raises :class:`FederationError` if the disk
        does not take it; the one before stays.
        """
        if not state.rounds:
            self.clear()
            return
        newest = state.rounds[-1].round
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            manifest = Manifest(
                identity=self.identity,
                run=self._run,
                starts=self._starts + 1,
                round=newest,
                models={where: self._keep(sums) for where, sums in state.models.items()},
                others=self._keep(state.others),
                ledger=list(state.rounds),
            )
            self._write(manifest)
            for path in self._manifests():
                if path.name > self._path(newest).name:
                    path.unlink()
            self._prune()
        except OSError as error:
            raise FederationError(
                f"the checkpoint of round {newest} cannot be written "
                f"({error.strerror or error}) in {self.folder}; make room and resume, the round "
                "before is safe"
            ) from None

    def _write(self, manifest: Manifest) -> None:
        content = manifest.model_dump(mode="json")
        whole = {"sha256": _digest_of(content), "checkpoint": content}
        with replacing(self._path(manifest.round)) as partial:
            partial.write_text(json.dumps(whole, indent=1, allow_nan=False), encoding="utf-8")

    def clear(self) -> None:
        """Remove them all; the run is over."""
        for path in self._manifests():
            path.unlink()
        self._prune()
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _path(self, server_round: int) -> Path:
        return self.folder / f"round-{server_round:05}.json"

    def _manifests(self) -> list[Path]:
        return sorted(p for p in self.folder.glob("round-*.json") if _MANIFEST.fullmatch(p.name))

    def _keep(self, blobs: Mapping[str, bytes]) -> dict[str, str]:
        digests = {}
        for name, content in blobs.items():
            digest = hashlib.sha256(content).hexdigest()
            path = self.folder / digest
            if not path.exists():
                with replacing(path) as partial:
                    partial.write_bytes(content)
            digests[name] = digest
        return digests

    def _blob(self, digest: str) -> bytes:
        path = self.folder / digest
        try:
            content = path.read_bytes()
        except OSError as error:
            raise FederationError(f"{path}: a checkpoint's part, {error.strerror}") from None
        if hashlib.sha256(content).hexdigest() != digest:
            raise FederationError(
                f"{path}: truncated or altered; delete the newest round-*.json to go back a round"
            )
        return content

    def _prune(self) -> None:
        if not self.folder.is_dir():
            return
        manifests = self._manifests()
        for path in manifests[:-KEPT_CHECKPOINTS]:
            path.unlink()
        needed = set[str]()
        for path in manifests[-KEPT_CHECKPOINTS:]:
            needed |= _named(_read(path))
        for path in self.folder.iterdir():
            if re.fullmatch(r"[0-9a-f]{64}(\.partial)?", path.name) and path.name not in needed:
                path.unlink()


def digest_of_arrays(arrays: Iterable[tuple[str, bytes]]) -> str:
    """SHA-256 of named bytes in their order: of the model that all start from."""
    digest = hashlib.sha256()
    for name, content in arrays:
        digest.update(f"{len(name)} {len(content)} {name}".encode())
        digest.update(content)
    return digest.hexdigest()


def _named(manifest: Manifest) -> set[str]:
    sums = {digest for digests in manifest.models.values() for digest in digests.values()}
    return sums | set(manifest.others.values())


def _read(path: Path) -> Manifest:
    try:
        if path.stat().st_size > CHECKPOINT_MANIFEST_BYTES:
            raise FederationError(
                f"{path}: larger than {CHECKPOINT_MANIFEST_BYTES} bytes; no checkpoint"
            )
        whole = json.loads(path.read_bytes())
        content = whole["checkpoint"]
        if whole["sha256"] != _digest_of(content):
            raise FederationError(f"{path}: altered; delete it to go back a round")
        return Manifest.model_validate(content)
    except OSError as error:
        raise FederationError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError):
        raise FederationError(
            f"{path}: truncated, or no checkpoint; delete it to go back a round"
        ) from None


def _digest_of(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
