"""Key files: modes, durability, damage; and that no secret leaves them."""

import base64
import copy
import json
import os
import pickle
import stat
from pathlib import Path

import pytest

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection.keys import ServerContext, SiteKey


@pytest.fixture(scope="module")
def key() -> SiteKey:
    return SiteKey.create("bfv")


def test_a_key_has_two_files(key: SiteKey, tmp_path: Path) -> None:
    key.save(tmp_path / "site.json")
    key.context.save(tmp_path / "server.json")
    assert stat.S_IMODE((tmp_path / "site.json").stat().st_mode) == 0o600
    loaded = SiteKey.load(tmp_path / "site.json")
    assert (loaded.scheme, loaded.created, loaded.secret) == ("bfv", key.created, key.secret)
    context = ServerContext.load(tmp_path / "server.json")
    assert context == key.context == loaded.context
    assert (tmp_path / "server.json").stat().st_size < 200


def test_a_server_context_holds_no_secret(key: SiteKey, tmp_path: Path) -> None:
    key.context.save(tmp_path / "server.json")
    text = (tmp_path / "server.json").read_bytes()
    secret = base64.b64encode(key.secret)
    assert not any(secret[i : i + 16] in text for i in range(0, len(secret), 16))
    assert json.loads(text).keys() == {"ucadi", "scheme", "key-id"}


def test_a_server_refuses_a_secret_key(key: SiteKey, tmp_path: Path) -> None:
    key.save(tmp_path / "site.json")
    with pytest.raises(ProtectionError, match="this is a site's secret key"):
        ServerContext.load(tmp_path / "site.json")


def test_a_site_refuses_a_server_context(key: SiteKey, tmp_path: Path) -> None:
    key.context.save(tmp_path / "server.json")
    (tmp_path / "server.json").chmod(0o600)
    with pytest.raises(ProtectionError, match="this is not a site key"):
        SiteKey.load(tmp_path / "server.json")


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602, 0o610])
def test_a_key_that_others_may_touch_is_refused(key: SiteKey, tmp_path: Path, mode: int) -> None:
    key.save(tmp_path / "site.json")
    (tmp_path / "site.json").chmod(mode)
    with pytest.raises(ProtectionError, match=f"mode {mode:04o}"):
        SiteKey.load(tmp_path / "site.json")


def test_a_loose_umask_does_not_loosen_the_file(key: SiteKey, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        key.save(tmp_path / "site.json")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "site.json").stat().st_mode) == 0o600


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="file names of descriptors: Linux")
@pytest.mark.parametrize("name", ["site.json", "server.json"])
def test_a_key_file_is_on_the_disk_when_save_returns(
    key: SiteKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Both the complete file and the folder that names it are flushed (fsync), in this order."""
    flushed: list[tuple[Path, int]] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115
        flushed.append((path, path.stat().st_size))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    path = tmp_path / name
    (key if name == "site.json" else key.context).save(path)
    assert [at for at, _ in flushed] == [path, tmp_path]
    assert flushed[0][1] == path.stat().st_size


def test_a_rotation_is_on_the_disk_when_it_returns(
    key: SiteKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "site.json"
    key.save(path)
    listings: list[set[str]] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        listings.append({entry.name for entry in tmp_path.iterdir()})
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    SiteKey.rotate(path)
    assert listings[-1] == {"site.json", f"site.{key.key_id.hex()[:8]}.json"}


def test_a_full_disk_leaves_no_key_file(
    key: SiteKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(ProtectionError, match=r"site\.json cannot be written: No space left"):
        key.save(tmp_path / "site.json")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(key: SiteKey, tmp_path: Path) -> None:
    (tmp_path / "site.json").write_text("mine")
    for save in (key.save, key.context.save):
        with pytest.raises(ProtectionError, match="exists already"):
            save(tmp_path / "site.json")
        with pytest.raises(ProtectionError, match="cannot be written"):
            save(tmp_path / "no" / "site.json")
    assert (tmp_path / "site.json").read_text() == "mine"


def test_rotation_keeps_the_old_key_beside_the_new(key: SiteKey, tmp_path: Path) -> None:
    path = tmp_path / "site.json"
    key.save(path)
    new = SiteKey.rotate(path)
    assert new.key_id != key.key_id
    assert SiteKey.load(path).key_id == new.key_id
    old = tmp_path / f"site.{key.key_id.hex()[:8]}.json"
    assert SiteKey.load(old).key_id == key.key_id
    assert sorted(tmp_path.iterdir()) == sorted([path, old])


def test_the_id_binds_key_and_scheme(key: SiteKey) -> None:
    assert key.key_id == SiteKey("bfv", "another day", key.secret).key_id
    assert key.key_id != SiteKey.create("bfv").key_id
    assert key.key_id != SiteKey("ckks", key.created, key.secret).key_id


def test_no_secret_is_printed(key: SiteKey) -> None:
    printed = f"{key!r} {key} {key.describe()} {key.context!r}"
    for form in (repr(key.secret)[2:40], key.secret.hex()[:40], key.derived("tags").hex()):
        assert form not in printed
    assert key.key_id.hex() in printed


def test_a_secret_is_not_pickled_or_copied(key: SiteKey) -> None:
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled or copied"):
            copied(key)


def changed(key: SiteKey, path: Path, **fields: object) -> Path:
    key.save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return path


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"secret": "@@@@"}, "the secret is damaged"),
        ({"secret": "é"}, "the secret is damaged"),
        ({"secret": "AAAA"}, "does not match its id"),
        ({"secret": 3}, "'secret' is missing"),
        ({"scheme": "ckks"}, "does not match its id"),
        ({"scheme": "rot13"}, "'rot13' does not encrypt"),
        ({"key-id": "00" * 16}, "does not match its id"),
    ],
)
def test_damaged_site_keys(
    key: SiteKey, tmp_path: Path, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(ProtectionError, match=message):
        SiteKey.load(changed(key, tmp_path / "site.json", **fields))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "is not a key file"),
        (b"[]", "is not a key file"),
        (b"{}", "is not a server context"),
        (b'{"ucadi": "server context", "scheme": "none", "key-id": ""}', "does not encrypt"),
        (b'{"ucadi": "server context", "scheme": "bfv", "key-id": "12"}', "hexadecimal digits"),
        (b'{"ucadi": "server context", "scheme": "bfv"}', "'key-id' is missing"),
        (b'"' + b"x" * 2**21 + b'"', "is not a key file"),
    ],
)
def test_files_that_are_not_a_server_context(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "server.json").write_bytes(content)
    with pytest.raises(ProtectionError, match=message):
        ServerContext.load(tmp_path / "server.json")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ProtectionError, match="cannot be read"):
        SiteKey.load(tmp_path / "site.json")
