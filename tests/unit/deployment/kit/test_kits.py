"""A party's folder is checked before anything starts."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ucadi_flwr.deployment.kit import commands
from ucadi_flwr.deployment.kit.kits import ServerKit, SiteKit
from ucadi_flwr.errors import FederationError, UcadiError
from ucadi_flwr.protection.keys import SiteKey

DAY = timedelta(days=1)
Spoil = Callable[[Path], object]
"""Damages a folder."""


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another federation with the same names."""
    kit = tmp_path_factory.mktemp("other") / "KIT"
    commands.make(kit, "fl.example.org:8443", ["A", "B"], "bfv")
    return kit


def test_a_server_s_folder_has_everything(kit_once: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(kit_once / "server")
    server = ServerKit.load(Path())
    assert server.folder == kit_once / "server"
    assert str(server.address) == "fl.example.org:8443"
    files = (server.authority, server.certificate, server.key, *server.node_keys.values())
    assert all(path.is_absolute() and path.is_file() for path in files)
    assert [p.name for p in files] == ["ca.crt", "server.crt", "server.key", "A.pub", "B.pub"]
    assert 364 * DAY < server.expires - datetime.now(UTC) <= 365 * DAY
    assert server.context == SiteKey.load(kit_once / "A" / "encryption.key").context
    assert server.revoked == {}


def test_a_site_s_folder_has_everything(kit_once: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(kit_once / "A")
    site = SiteKit.load(Path())
    assert (site.name, str(site.address)) == ("A", "fl.example.org:8443")
    assert site.authority == kit_once / "A" / "ca.crt"
    assert site.node_key == kit_once / "A" / "node.key"
    assert site.key is not None
    assert site.key.secret == SiteKey.load(kit_once / "B" / "encryption.key").secret


@pytest.mark.parametrize("days", [-2, -1, 1, 300])
def test_a_clock_may_be_wrong_by_days(kit_once: Path, days: int) -> None:
    now = datetime.now(UTC) + days * DAY
    assert ServerKit.load(kit_once / "server", now).expires
    assert SiteKit.load(kit_once / "A", now).name == "A"


@pytest.mark.parametrize(
    ("days", "server", "site"),
    [
        (366, r"server\.crt: the certificate expired on .*--renew", None),
        (3660, r"ca\.crt: the certificate expired on .*new kit", r"ca\.crt: .* expired on"),
        (-8, r"ca\.crt: .*set the clock", r"ca\.crt: .*set the clock"),
    ],
)
def test_certificates_that_are_not_valid(
    kit_once: Path, days: int, server: str, site: str | None
) -> None:
    now = datetime.now(UTC) + days * DAY
    with pytest.raises(FederationError, match=server):
        ServerKit.load(kit_once / "server", now)
    if site:
        with pytest.raises(FederationError, match=site):
            SiteKit.load(kit_once / "A", now)


def copy(path: Path, to: Path) -> None:
    """With its mode, as ``cp -p`` does."""
    to.parent.mkdir(exist_ok=True)
    to.unlink(missing_ok=True)
    shutil.copy2(path, to)


@pytest.mark.parametrize(
    "secret", ["A/encryption.key", "A/node.key", "authority/ca.key", "former", "hidden"]
)
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_server_with_a_secret_of_others_does_not_start(kit: Path, secret: str, mode: int) -> None:
    source = {"former": "A/encryption.key", "hidden": "A/node.key"}.get(secret, secret)
    target = kit / "server" / {"hidden": ".cache/x.pub"}.get(secret, f"{secret[0]}.txt")
    copy(kit / source, target)
    target.chmod(mode)
    with pytest.raises(FederationError, match=r"a secret key .* must not have; delete") as refused:
        ServerKit.load(kit / "server")
    assert str(target) in str(refused.value)


def test_large_files_of_others_do_not_matter(kit: Path) -> None:
    (kit / "server" / "state.db").write_bytes(bytes(300_000))
    assert ServerKit.load(kit / "server")


def edit(name: str, old: str, new: str) -> Spoil:
    def change(folder: Path) -> None:
        path = folder / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


def write_bad_revoked_key(folder: Path) -> None:
    (folder / "revoked").mkdir()
    (folder / "revoked" / "C.pub").write_text("x")


def replace_context(folder: Path) -> None:
    (folder / "server.ctx").unlink()
    SiteKey.create("bfv").context.save(folder / "server.ctx")


SERVER_FAULTS: dict[str, tuple[Spoil, str]] = {
    "no settings": (lambda f: (f / "settings.json").unlink(), r"settings\.json: cannot be read"),
    "no certificate": (lambda f: (f / "server.crt").unlink(), r"server\.crt: cannot be read"),
    "no key": (lambda f: (f / "server.key").unlink(), r"server\.key: cannot be read"),
    "no authority": (lambda f: (f / "ca.crt").unlink(), r"ca\.crt: cannot be read"),
    "no context": (lambda f: (f / "server.ctx").unlink(), r"server\.ctx cannot be read"),
    "no node key": (lambda f: (f / "node-keys" / "A.pub").unlink(), r"A\.pub: cannot be read"),
    "open key": (lambda f: (f / "server.key").chmod(0o640), "others may .*0640"),
    "another host": (
        edit("settings.json", "fl.example.org", "fl.example.net"),
        r"server\.crt: the certificate is not for fl\.example\.net",
    ),
    "a stranger": (
        lambda f: copy(f / "node-keys" / "A.pub", f / "node-keys" / "X.pub"),
        r"X\.pub: not a site in settings\.json",
    ),
    "swapped": (
        lambda f: copy(f / "node-keys" / "A.pub", f / "node-keys" / "B.pub"),
        r"B\.pub: not the file",
    ),
    "damaged": (
        lambda f: (f / "node-keys" / "B.pub").write_text("ssh-rsa AAAA"),
        r"B\.pub: this is not a public key",
    ),
    "damaged revoked": (
        write_bad_revoked_key,
        r"C\.pub: this is not a public key",
    ),
    "another context": (
        replace_context,
        r"server\.ctx: not the file",
    ),
    "another scheme": (edit("settings.json", '"bfv"', '"ckks"'), r"server\.ctx: not the file"),
    "the authority's key as its own": (
        lambda f: copy(f.parent / "authority" / "ca.key", f / "server.key"),
        r"server\.key: the private key belongs to another",
    ),
    "a node's key as its own": (
        lambda f: copy(f.parent / "A" / "node.key", f / "server.key"),
        r"server\.key: the private key cannot be read",
    ),
    "its own certificate as the authority's": (
        lambda f: copy(f / "server.crt", f / "ca.crt"),
        r"ca\.crt: this is not a certificate authority's",
    ),
    "a site's folder": (
        lambda f: copy(f.parent / "A" / "settings.json", f / "settings.json"),
        r"settings\.json: party",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), SERVER_FAULTS.values(), ids=SERVER_FAULTS)
def test_a_server_that_does_not_start(kit: Path, spoil: Spoil, message: str) -> None:
    spoil(kit / "server")
    with pytest.raises(UcadiError, match=message) as refused:
        ServerKit.load(kit / "server")
    assert "\n" not in str(refused.value)


SITE_FAULTS: dict[str, tuple[Spoil, str]] = {
    "no settings": (lambda f: (f / "settings.json").unlink(), r"settings\.json: cannot be read"),
    "no authority": (lambda f: (f / "ca.crt").unlink(), r"ca\.crt: cannot be read"),
    "no node key": (lambda f: (f / "node.key").unlink(), r"node\.key: cannot be read"),
    "no key": (lambda f: (f / "encryption.key").unlink(), r"encryption\.key cannot be read"),
    "open node key": (lambda f: (f / "node.key").chmod(0o604), r"node\.key: others may"),
    "open key": (lambda f: (f / "encryption.key").chmod(0o640), r"encryption\.key: others may"),
    "its neighbour's node key": (
        lambda f: copy(f.parent / "B" / "node.key", f / "node.key"),
        r"node\.key: not the file that settings\.json",
    ),
    "damaged node key": (
        edit("node.key", "OPENSSH", "OPEN"),
        r"node\.key: this is not a private key",
    ),
    "no certificate": (
        lambda f: (f / "ca.crt").write_text("-----BEGIN CERTIFICATE-----\n"),
        r"ca\.crt: this is not a PEM certificate",
    ),
    "the server's folder": (
        lambda f: copy(f.parent / "server" / "settings.json", f / "settings.json"),
        r"settings\.json: party",
    ),
    "another scheme": (edit("settings.json", '"bfv"', '"ckks"'), r"encryption\.key: not the file"),
}


@pytest.mark.parametrize(("spoil", "message"), SITE_FAULTS.values(), ids=SITE_FAULTS)
def test_a_site_that_does_not_start(kit: Path, spoil: Spoil, message: str) -> None:
    spoil(kit / "A")
    with pytest.raises(UcadiError, match=message) as refused:
        SiteKit.load(kit / "A")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["ca.crt", "encryption.key", "node.key"])
def test_files_of_another_federation_are_refused(kit: Path, other: Path, name: str) -> None:
    copy(other / "A" / name, kit / "A" / name)
    with pytest.raises(FederationError, match=f"{name}: not the file .* last hand-over"):
        SiteKit.load(kit / "A")


def test_a_servers_files_of_another_federation_are_refused(kit: Path, other: Path) -> None:
    for name in ("server.crt", "server.key"):
        copy(other / "server" / name, kit / "server" / name)
    with pytest.raises(FederationError, match=r"server\.crt: .*do not mix kits"):
        ServerKit.load(kit / "server")


def test_a_site_with_the_key_of_before_a_rotation_is_refused(kit: Path, kit_once: Path) -> None:
    commands.rotate(kit)
    copy(kit_once / "A" / "encryption.key", kit / "A" / "encryption.key")
    with pytest.raises(FederationError, match="take the whole folder from the last hand-over"):
        SiteKit.load(kit / "A")
