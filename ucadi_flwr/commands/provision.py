"""``ucadi provision``: make the kit of a federation, or change its members and keys."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ucadi_flwr.deployment.kit import commands, file_names
from ucadi_flwr.deployment.kit.federation import Federation
from ucadi_flwr.errors import FederationError


def provision(
    out: Annotated[Path, typer.Option(help="The kit's folder: new, or that of a kit to change.")],
    server: Annotated[
        str | None, typer.Option(help="HOST:PORT where the sites reach the server.")
    ] = None,
    site: Annotated[
        list[str] | None, typer.Option(help="A site's name; repeat the option for each site.")
    ] = None,
    scheme: Annotated[str | None, typer.Option(help="bfv (default), ckks, or none.")] = None,
    add: Annotated[list[str] | None, typer.Option(help="Change: add a site.")] = None,
    revoke: Annotated[
        list[str] | None, typer.Option(help="Change: remove a site; the others get a new key.")
    ] = None,
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Change: make a new encryption key for all sites.")
    ] = False,
    renew: Annotated[
        bool, typer.Option("--renew", help="Change: make a new server certificate.")
    ] = False,
) -> None:
    """Make the start-up kit of a federation (--server, --site), or change one."""
    changes = {"--add": add, "--revoke": revoke, "--rotate": rotate, "--renew": renew}
    chosen = [name for name, value in changes.items() if value]
    if len(chosen) > 1 or (chosen and (server or site or scheme)):
        raise FederationError(
            "make a kit with --server and --site, or change one with one of --add, --revoke, "
            "--rotate and --renew; one change at a time"
        )
    if add:
        _print_handover(out, commands.add(out, add), new=add)
    elif revoke:
        _print_handover(out, commands.revoke(out, revoke))
        print(f"Delete the files that {', '.join(revoke)} received, and restart the server: only")
        print("then does Flower remove a site.")
    elif rotate:
        _print_handover(out, commands.rotate(out))
    elif renew:
        _print_handover(out, commands.renew(out))
    elif server is None:
        raise FederationError("name the server's address: --server HOST:PORT")
    else:
        _print_kit(out, commands.make(out, server, site or [], scheme or "bfv"))


def _print_kit(kit: Path, federation: Federation) -> None:
    print(f"server: {federation.address}, certificate until {federation.server.expires:%Y-%m-%d}")
    if federation.key:
        for name, value in federation.key.describe().items():
            print(f"{name}: {value}")
    else:
        print("scheme: none; the server can read every model")
    for name, site in federation.sites.items():
        print(f"Give {kit / name} to {name} only, out of band; node key {site.node.fingerprint}")
    print(f"Give {kit / file_names.SERVER} to the server's operator; it opens no model.")
    print(f"Keep {kit / file_names.AUTHORITY} here, and give it to nobody.")


def _print_handover(kit: Path, handover: commands.Handover, new: Sequence[str] = ()) -> None:
    for party, files in handover.items():
        receiver = "the server" if party == file_names.SERVER else party
        when = "for the first time" if party in new else f"again; changed: {', '.join(files)}"
        print(f"Give {kit / party} to {receiver} {when}")
    print("The others keep the files that they have.")
