"""A federation → the files of its kit, each as a function that writes it."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from ucadi_flwr.deployment.kit import file_names, files, readme
from ucadi_flwr.deployment.kit.certificates import digest
from ucadi_flwr.deployment.kit.federation import Federation
from ucadi_flwr.deployment.kit.node_keys import fingerprint
from ucadi_flwr.deployment.kit.settings import (
    Register,
    ServerKitSettings,
    SiteKitSettings,
    dump,
    key_id_text,
)

Writer = Callable[[Path], None]
"""Writes one file to a path that does not exist yet."""

Folder = dict[str, Writer]
"""Path below a folder → what writes the file."""


def render(federation: Federation) -> Folder:
    """Every file of the kit; a file whose content did not change is the same to the byte."""
    parties = {file_names.SERVER: _server(federation), file_names.AUTHORITY: _authority(federation)}
    parties |= {name: _site(federation, name) for name in federation.sites}
    return {
        f"{party}/{name}": writer
        for party, folder in parties.items()
        for name, writer in folder.items()
    }


def write(kit: Mapping[str, Writer], folder: Path) -> None:
    """Write the files into an empty folder, with folders of mode 0700."""
    for name, writer in kit.items():
        path = folder / name
        for above in reversed(Path(name).parents):
            (folder / above).mkdir(mode=0o700, exist_ok=True)
        writer(path)


def _server(federation: Federation) -> Folder:
    nodes = {name: site.node for name, site in federation.sites.items()}
    prints = {name: node.fingerprint for name, node in nodes.items()}
    settings = ServerKitSettings.model_validate({**_common(federation, "server"), "sites": prints})
    guide = readme.server(
        federation.address, list(nodes), federation.server.expires, settings.key_id
    )
    folder = {
        file_names.AUTHORITY_CERTIFICATE: _public(federation.authority.pem),
        file_names.SERVER_CERTIFICATE: _public(federation.server.pem),
        file_names.SERVER_KEY: _private(federation.server.secret_pem),
        file_names.SETTINGS: _public(dump(settings)),
        file_names.README: _public(guide.encode()),
    }
    if federation.key:
        folder[file_names.SERVER_CONTEXT] = federation.context.save
    for name, node in nodes.items():
        folder[f"{file_names.NODE_KEYS}/{name}.pub"] = _public(f"{node.public}\n".encode())
    for name, former in federation.revoked.items():
        folder[f"{file_names.REVOKED}/{name}.pub"] = _public(f"{former.public}\n".encode())
    return folder


def _site(federation: Federation, name: str) -> Folder:
    node = federation.sites[name].node
    settings = SiteKitSettings.model_validate(
        {
            **_common(federation, "site"),
            "site": name,
            "node-key": node.fingerprint,
            "authority": digest(federation.authority.certificate),
        }
    )
    guide = readme.site(name, federation.address, node.fingerprint, settings.key_id)
    folder = {
        file_names.AUTHORITY_CERTIFICATE: _public(federation.authority.pem),
        file_names.NODE_KEY: _private(node.private),
        file_names.SETTINGS: _public(dump(settings)),
        file_names.README: _public(guide.encode()),
    }
    if federation.key:
        folder[file_names.ENCRYPTION_KEY] = federation.key.save
    return folder


def _authority(federation: Federation) -> Folder:
    members = {
        name: {"node-key": site.node.fingerprint, "since": site.since}
        for name, site in federation.sites.items()
    }
    revoked = {
        name: {
            "node-key": fingerprint(former.public, name),
            "since": former.since,
            "until": former.until,
        }
        for name, former in federation.revoked.items()
    }
    common = _common(federation, "authority")
    register = Register.model_validate({**common, "sites": members, "revoked": revoked})
    guide = readme.authority(federation.address, list(federation.sites))
    folder = {
        file_names.AUTHORITY_CERTIFICATE: _public(federation.authority.pem),
        file_names.AUTHORITY_KEY: _private(federation.authority.secret_pem),
        file_names.REGISTER: _public(dump(register)),
        file_names.README: _public(guide.encode()),
    }
    for key in federation.former_keys:
        folder[f"{file_names.FORMER_KEYS}/{key.key_id.hex()}.key"] = key.save
    return folder


def _common(federation: Federation, party: str) -> dict[str, object]:
    return {
        "schema_version": 1,
        "party": party,
        "server": str(federation.address),
        "scheme": federation.context.scheme,
        "key-id": key_id_text(federation.context),
    }


def _public(content: bytes) -> Writer:
    return partial(files.create, content=content)


def _private(content: bytes) -> Writer:
    return partial(files.create, content=content, private=True)
