"""``ucadi provision``: make the kit of a federation, and change who is in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ucadi_flwr.deployment.kit import commands, layout
from ucadi_flwr.deployment.kit.federation import Federation
from ucadi_flwr.errors import FederationError


def provision(
    out: Annotated[Path, typer.Option(help="The kit's folder: new, or that of a kit to change.")],
    server: Annotated[
        str | None, typer.Option(help="HOST:PORT at which the sites reach the server.")
    ] = None,
    site: Annotated[list[str] | None, typer.Option(help="A site's name; repeat it.")] = None,
    scheme: Annotated[
        str | None, typer.Option(help="bfv (unless told otherwise), ckks, or none.")
    ] = None,
    add: Annotated[list[str] | None, typer.Option(help="Change: another site.")] = None,
    revoke: Annotated[
        list[str] | None, typer.Option(help="Change: a site leaves; the others get a new key.")
    ] = None,
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Change: a new encryption key for all sites.")
    ] = False,
    renew: Annotated[
        bool, typer.Option("--renew", help="Change: a new server certificate.")
    ] = False,
) -> None:
    """Make the start-up kit of a federation (--server, --site), or change one."""
    changes = {"--add": add, "--revoke": revoke, "--rotate": rotate, "--renew": renew}
    asked = [name for name, value in changes.items() if value]
    if len(asked) > 1 or (asked and (server or site or scheme)):
        raise FederationError(
            "make a kit with --server and --site, or change one with one of --add, --revoke, "
            "--rotate and --renew; one thing at a time"
        )
    if add:
        _tell(out, commands.add(out, add), new=add)
    elif revoke:
        _tell(out, commands.revoke(out, revoke))
        print(f"Delete what {', '.join(revoke)} was handed, and start the server again: Flower")
        print("must forget a site that left.")
    elif rotate:
        _tell(out, commands.rotate(out))
    elif renew:
        _tell(out, commands.renew(out))
    elif server is None:
        raise FederationError("say where the server is: --server HOST:PORT")
    else:
        _show(out, commands.make(out, server, site or [], scheme or "bfv"))


def _show(kit: Path, made: Federation) -> None:
    print(f"server: {made.address}, certificate until {made.server.expires:%Y-%m-%d}")
    if made.key:
        for name, value in made.key.describe().items():
            print(f"{name}: {value}")
    else:
        print("scheme: none; the server can read every model")
    for name, member in made.sites.items():
        print(f"Hand {kit / name} to {name} only, out of band; node key {member.node.fingerprint}")
    print(f"Hand {kit / layout.SERVER} to whoever runs the server; it opens no model.")
    print(f"Keep {kit / layout.AUTHORITY} where it is: it goes nowhere.")


def _tell(kit: Path, handover: commands.Handover, new: Sequence[str] = ()) -> None:
    for party, names in handover.items():
        whom = "the server" if party == layout.SERVER else party
        which = "for the first time" if party in new else f"again; changed: {', '.join(names)}"
        print(f"Hand {kit / party} to {whom} {which}")
    print("All others go on with what they have.")
