"""Settings files: inert and strict; a wrong one is refused in one line."""

import json
from pathlib import Path
from typing import Any

import pytest

from ucadi_flwr.deployment.kit.settings import (
    Register,
    ServerKitSettings,
    SiteKitSettings,
    check_new_names,
    dump,
    load,
)
from ucadi_flwr.errors import FederationError, UcadiError

PRINT = "SHA256:" + "a" * 43
SITE: dict[str, Any] = {
    "schema_version": 1,
    "party": "site",
    "server": "fl.example.org:8443",
    "scheme": "bfv",
    "key-id": "0" * 32,
    "site": "A",
    "node-key": PRINT,
    "authority": "0" * 64,
}
REGISTER: dict[str, Any] = {
    **{key: SITE[key] for key in ("schema_version", "server", "scheme", "key-id")},
    "party": "authority",
    "sites": {"A": {"node-key": PRINT, "since": "2026-01-02"}},
    "revoked": {"B": {"node-key": PRINT, "since": "2026-01-02", "until": "2026-03-04"}},
}


def written(folder: Path, content: object) -> Path:
    path = folder / "settings.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_settings_are_read_back_from_their_file(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    site = SiteKitSettings.model_validate(SITE)
    path.write_bytes(dump(site))
    assert json.loads(path.read_text()) == SITE
    assert load(SiteKitSettings, path) == site
    assert str(site.address) == "fl.example.org:8443"
    register = load(Register, written(tmp_path, REGISTER))
    path.write_bytes(dump(register))
    assert json.loads(path.read_text()) == REGISTER
    assert load(Register, path) == register


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"schema_version": "1"}, "schema_version"),
        ({"party": "server"}, "party"),
        ({"server": "nowhere"}, "server: .*HOST:PORT"),
        ({"server": 8443}, "server"),
        ({"scheme": "rot13"}, "scheme"),
        ({"key-id": "xyz"}, "key-id"),
        ({"site": "../server"}, "site: a site cannot be named"),
        ({"site": "all"}, "site: a site cannot be named"),
        ({"node-key": "SHA256:short"}, "node-key"),
        ({"authority": "0"}, "authority"),
        ({"command": "rm"}, "command: Extra"),
        ({"key_id": "0" * 32}, "key_id: Extra"),
    ],
)
def test_a_wrong_value_is_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = written(tmp_path, SITE | change)
    with pytest.raises(FederationError, match=rf"settings\.json: {message}") as refused:
        load(SiteKitSettings, path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("since", [1_767_312_000, "2026-13-01", None])
def test_a_day_is_a_date(tmp_path: Path, since: object) -> None:
    sites = {"A": {"node-key": PRINT, "since": since}}
    with pytest.raises(FederationError, match=r"settings\.json: sites\.A\.since: "):
        load(Register, written(tmp_path, REGISTER | {"sites": sites}))


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00", "key: value", "[" * 60_000])
def test_an_invalid_settings_file_is_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(FederationError, match=r"settings\.json: settings: ") as refused:
        load(ServerKitSettings, written(tmp_path, text))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("key", SITE)
def test_a_missing_key_is_reported(tmp_path: Path, key: str) -> None:
    path = written(tmp_path, {k: v for k, v in SITE.items() if k != key})
    with pytest.raises(FederationError, match=f"{key}: Field required"):
        load(SiteKitSettings, path)


@pytest.mark.parametrize("name", ["A", "St. Mary", "Universitätsklinikum", "北京", "a-1_b"])
def test_names_of_sites(name: str) -> None:
    check_new_names([name], ["other"])


@pytest.mark.parametrize(
    ("names", "taken", "message"),
    [
        (["server"], [], "folder of that name"),
        (["Authority"], [], "folder of that name"),
        (["A", "A"], [], "already"),
        (["a", "A"], [], "case"),
        (["straße", "STRASSE"], [], "case"),
        (["b"], ["B"], "already"),
        ([""], [], "cannot be named"),
        (["."], [], "cannot be named"),
        (["a/b"], [], "cannot be named"),
        (["a\nb"], [], "cannot be named"),
        (['a"b'], [], "cannot be named"),
        (["-rf"], [], "cannot be named"),
        (["all"], [], "cannot be named"),
    ],
)
def test_names_that_are_refused(names: list[str], taken: list[str], message: str) -> None:
    with pytest.raises(UcadiError, match=message):
        check_new_names(names, taken)
