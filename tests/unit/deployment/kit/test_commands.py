"""Making and changing kits: which party has which files, and what stays unchanged."""

import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ucadi_flwr.deployment.kit import commands, federation, render, store
from ucadi_flwr.deployment.kit.address import Address
from ucadi_flwr.deployment.kit.kits import ServerKit, SiteKit
from ucadi_flwr.deployment.kit.settings import Register, load
from ucadi_flwr.errors import FederationError, ProtectionError, UcadiError
from ucadi_flwr.protection.keys import SiteKey

Contents = Callable[[Path], dict[str, bytes]]

AUTHORITY = {"README.md", "ca.crt", "ca.key", "register.json"}
SERVER = {"README.md", "ca.crt", "server.crt", "server.key", "server.ctx", "settings.json"}
SITE = {"README.md", "ca.crt", "encryption.key", "node.key", "settings.json"}


def below(folder: str, names: set[str]) -> set[str]:
    return {f"{folder}/{name}" for name in names}


def test_every_party_has_its_files_and_no_others(kit: Path, contents: Contents) -> None:
    expected = below("authority", AUTHORITY) | below("A", SITE) | below("B", SITE)
    expected |= below("server", SERVER | {"node-keys/A.pub", "node-keys/B.pub"})
    assert set(contents(kit)) == expected


def test_modes(kit_once: Path) -> None:
    private = {"ca.key", "server.key", "node.key", "encryption.key"}
    for path in (kit_once, *kit_once.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        expected = 0o700 if path.is_dir() else 0o600 if path.name in private else 0o644
        assert (path, mode) == (path, expected)


def test_secrets_are_where_they_belong(kit_once: Path, contents: Contents) -> None:
    """Every secret is searched for in every file."""
    files = contents(kit_once)
    secret = json.loads(files["A/encryption.key"])["secret"].encode()
    holders = {
        secret: {"A/encryption.key", "B/encryption.key"},
        **{
            b"".join(files[name].splitlines()[1:3]): {name}
            for name in ("authority/ca.key", "server/server.key", "A/node.key", "B/node.key")
        },
    }
    for piece, places in holders.items():
        assert len(piece) > 60
        holding = {n for n, content in files.items() if piece in content.replace(b"\n", b"")}
        assert holding == places
    assert {n for n in files if b"PRIVATE KEY" in files[n]} == {
        *("authority/ca.key", "server/server.key", "A/node.key", "B/node.key")
    }


def test_without_encryption_there_are_no_encryption_keys(tmp_path: Path) -> None:
    kit = tmp_path / "KIT"
    commands.make(kit, "10.0.0.7:8443", ["A", "B"], "none")
    assert not list(kit.rglob("encryption.key")) + list(kit.rglob("server.ctx"))
    assert SiteKit.load(kit / "A").key is None
    assert ServerKit.load(kit / "server").context.scheme == "none"
    assert "encryption.key" not in (kit / "A" / "README.md").read_text()
    assert "can read every site's model" in (kit / "server" / "README.md").read_text()
    with pytest.raises(FederationError, match="encrypts nothing"):
        commands.rotate(kit)
    assert set(commands.revoke(kit, ["B"])) == {"server"}
    assert set(commands.add(kit, ["C"])) == {"server", "C"}


def test_readmes_say_what_to_run_and_nothing_secret(kit_once: Path) -> None:
    readmes = {path.parent.name: path.read_text() for path in kit_once.rglob("README.md")}
    assert "ucadi server ." in readmes["server"]
    assert "No file here opens a site's model" in readmes["server"]
    assert "ucadi server KIT/server" in readmes["server"]
    assert "ucadi site . --data DIR --check\n$ ucadi site . --data DIR\n" in readmes["A"]
    assert "Give this folder to nobody" in readmes["authority"]
    assert (
        load(Register, kit_once / "authority" / "register.json").sites["A"].node_key in readmes["A"]
    )


def test_an_existing_folder_is_never_overwritten(kit: Path, contents: Contents) -> None:
    before = contents(kit)
    with pytest.raises(FederationError, match="exists already"):
        commands.make(kit, "fl.example.org:8443", ["A"], "bfv")
    assert contents(kit) == before


@pytest.mark.parametrize(
    ("server", "sites", "scheme", "message"),
    [
        ("fl.example.org", ["A"], "bfv", "HOST:PORT"),
        ("fl.example.org:1", [], "bfv", "needs sites"),
        ("fl.example.org:1", ["A", "a"], "bfv", "already"),
        ("fl.example.org:1", ["Server"], "bfv", "folder of that name"),
        ("fl.example.org:1", ["A"], "rot13", "bfv, ckks, none"),
    ],
)
def test_a_mistake_leaves_no_folder(
    tmp_path: Path, server: str, sites: list[str], scheme: str, message: str
) -> None:
    with pytest.raises(UcadiError, match=message):
        commands.make(tmp_path / "KIT", server, sites, scheme)
    assert list(tmp_path.iterdir()) == []


def test_a_kit_is_read_back_to_the_byte(kit: Path, tmp_path: Path, contents: Contents) -> None:
    commands.revoke(kit, ["B"])
    commands.add(kit, ["C"])
    (tmp_path / "again").mkdir()
    render.write(render.render(store.read(kit)), tmp_path / "again")
    assert contents(tmp_path / "again") == contents(kit)


def test_add(kit: Path, contents: Contents) -> None:
    before = contents(kit)
    handover = commands.add(kit, ["C", "D"])
    after = contents(kit)
    assert set(handover) == {"server", "C", "D"}
    assert handover["server"] == [
        "README.md",
        "node-keys/C.pub",
        "node-keys/D.pub",
        "settings.json",
    ]
    assert set(handover["C"]) == SITE
    for name in below("A", SITE) | below("B", SITE) | {"server/server.key", "authority/ca.key"}:
        assert after[name] == before[name]
    assert after["C/encryption.key"] == before["A/encryption.key"]
    assert after["C/ca.crt"] == before["A/ca.crt"]
    assert len({after[f"{name}/node.key"] for name in "ABCD"}) == 4
    assert set(ServerKit.load(kit / "server").node_keys) == {"A", "B", "C", "D"}
    assert SiteKit.load(kit / "C").name == "C"
    assert set(load(Register, kit / "authority" / "register.json").sites) == {"A", "B", "C", "D"}


def test_revoke(kit: Path, contents: Contents) -> None:
    commands.add(kit, ["C"])
    before = contents(kit)
    old = SiteKey.load(kit / "A" / "encryption.key")
    handover = commands.revoke(kit, ["B"])
    after = contents(kit)
    assert set(handover) == {"server", "A", "C"}
    assert "server.ctx" in handover["server"]
    assert handover["A"] == ["README.md", "encryption.key", "settings.json"]
    assert not (kit / "B").exists()
    server = ServerKit.load(kit / "server")
    assert (set(server.node_keys), set(server.revoked)) == ({"A", "C"}, {"B"})
    assert after["server/revoked/B.pub"] == before["server/node-keys/B.pub"]
    new = SiteKit.load(kit / "A").key
    assert new is not None
    assert new.key_id != old.key_id
    assert server.context == new.context
    assert after["A/encryption.key"] == after["C/encryption.key"]
    register = load(Register, kit / "authority" / "register.json")
    assert set(register.sites) == {"A", "C"}
    assert register.revoked["B"].until == datetime.now(UTC).date()
    kept = kit / "authority" / "former-keys" / f"{old.key_id.hex()}.key"
    assert SiteKey.load(kept).secret == old.secret
    assert after["A/node.key"] == before["A/node.key"]
    assert after["server/server.key"] == before["server/server.key"]
    for name, content in after.items():
        assert (before["B/encryption.key"] in content) == (name.startswith("authority/former"))


def test_the_name_of_a_revoked_site_cannot_be_used_again(kit: Path, contents: Contents) -> None:
    commands.revoke(kit, ["B"])
    before = contents(kit)
    for name, message in (("B", "revoked on"), ("b", "already")):
        with pytest.raises(FederationError, match=message):
            commands.add(kit, [name])
    with pytest.raises(FederationError, match="no site 'B' to revoke; the sites are A"):
        commands.revoke(kit, ["B"])
    with pytest.raises(FederationError, match="no site would be left"):
        commands.revoke(kit, ["A"])
    assert contents(kit) == before


def test_rotate(kit: Path, contents: Contents) -> None:
    before = contents(kit)
    changed = ["README.md", "encryption.key", "settings.json"]
    for count in (1, 2):
        handover = commands.rotate(kit)
        assert handover == {"server": ["server.ctx", "settings.json"], "A": changed, "B": changed}
        assert len(list((kit / "authority" / "former-keys").iterdir())) == count
    after = contents(kit)
    assert after["A/encryption.key"] == after["B/encryption.key"]
    assert after["A/encryption.key"] != before["A/encryption.key"]
    assert {*ServerKit.load(kit / "server").node_keys} == {"A", "B"}


def test_renew_even_when_the_certificate_expired(
    tmp_path: Path, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit, long_ago = tmp_path / "KIT", datetime.now(UTC) - timedelta(days=400)
    kit.mkdir()
    old = federation.create(Address.parse("fl.example.org:8443"), ["A"], "none", long_ago)
    render.write(render.render(old), kit)
    with pytest.raises(FederationError, match=r"expired .* --renew"):
        ServerKit.load(kit / "server")
    before = contents(kit)
    assert commands.renew(kit) == {"server": ["README.md", "server.crt", "server.key"]}
    assert ServerKit.load(kit / "server").expires > datetime.now(UTC) + timedelta(days=300)
    assert contents(kit)["server/ca.crt"] == before["server/ca.crt"]


@pytest.mark.parametrize("failing", ["A/README.md", "server/settings.json", "server/server.ctx"])
def test_a_change_that_fails_changes_nothing(
    kit: Path, contents: Contents, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    before, real = contents(kit), render.render

    def broken(changed: federation.Federation) -> render.Folder:
        def fail(path: Path) -> None:
            raise OSError(28, "No space left on device")

        return real(changed) | {failing: fail}

    monkeypatch.setattr(commands, "render", broken)
    for change in (
        lambda: commands.add(kit, ["C"]),
        lambda: commands.revoke(kit, ["B"]),
        lambda: commands.rotate(kit),
        lambda: commands.make(kit.with_name("NEW"), "fl.example.org:1", ["A"], "bfv"),
    ):
        with pytest.raises(FederationError, match="No space left on device"):
            change()
    assert contents(kit) == before
    assert [path.name for path in kit.parent.iterdir()] == ["KIT"]


def damage_register(kit: Path) -> None:
    register = kit / "authority" / "register.json"
    register.write_text(register.read_text().replace('"A"', '"Z"'))


def swap_node_keys(kit: Path) -> None:
    (kit / "A" / "node.key").write_bytes((kit / "B" / "node.key").read_bytes())


def swap_revoked(kit: Path) -> None:
    commands.revoke(kit, ["B"])
    for_a = (kit / "server" / "node-keys" / "A.pub").read_bytes()
    (kit / "server" / "revoked" / "B.pub").write_bytes(for_a)


def other_encryption_key(kit: Path) -> None:
    (kit / "B" / "encryption.key").unlink()
    SiteKey.create("bfv").save(kit / "B" / "encryption.key")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (damage_register, r"Z/encryption\.key"),
        (swap_node_keys, r"A/node\.key: not the key"),
        (swap_revoked, r"revoked/B\.pub: not the key"),
        (other_encryption_key, r"B/encryption\.key: not the key"),
        (lambda kit: (kit / "A" / "node.key").chmod(0o644), r"A/node\.key: others may"),
        (lambda kit: (kit / "authority" / "ca.key").unlink(), r"ca\.key: cannot be read"),
        (lambda kit: (kit / "server" / "state.db").touch(), r"state\.db: not part of the kit"),
        (lambda kit: (kit / "A" / "link").symlink_to("x"), "link: not part of the kit"),
    ],
)
def test_a_damaged_kit_is_not_changed(
    kit: Path, contents: Contents, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(kit)
    before = contents(kit)
    with pytest.raises((FederationError, ProtectionError), match=message) as refused:
        commands.add(kit, ["C"])
    assert "\n" not in str(refused.value)
    assert contents(kit) == before
    assert [path.name for path in kit.parent.iterdir()] == ["KIT"]


def test_nothing_secret_in_reprs(kit_once: Path) -> None:
    opened = store.read(kit_once)
    assert opened.key is not None
    printed = f"{opened!r} {SiteKit.load(kit_once / 'A')!r} {ServerKit.load(kit_once / 'server')!r}"
    assert repr(opened.key.secret)[2:40] not in printed
    for node in (site.node for site in opened.sites.values()):
        assert node.private.splitlines()[2].decode() not in printed
