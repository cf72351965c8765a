"""``ucadi keys``: make, show, rotate and check the keys of an encrypted federation."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ucadi_flwr.aggregation.mean import WeightedMean
from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection.frame import MessageContext
from ucadi_flwr.protection.keys import ServerContext, SiteKey
from ucadi_flwr.protection.plan import IntegerPlan
from ucadi_flwr.protection.protect import make_site, make_sum

app = typer.Typer(
    help="Make, show, rotate and check encryption keys. docs/protection.md says who holds which.",
    no_args_is_help=True,
)

SiteKeyFile = Annotated[Path, typer.Argument(help="The sites' secret key, mode 0600.")]
ServerFile = Annotated[Path, typer.Argument(help="The server's context; it holds no secret.")]


@app.command()
def create(
    key: SiteKeyFile,
    server: ServerFile,
    scheme: Annotated[str, typer.Option(help="bfv (exact) or ckks.")] = "bfv",
) -> None:
    """Make a site key and its server context. Do this at a hospital."""
    if server.exists():
        raise ProtectionError(f"{server} exists already; it is not overwritten")
    site_key = SiteKey.create(scheme)
    site_key.save(key)
    site_key.context.save(server)
    _show(site_key.describe())
    print(f"Give {key} to the other sites out of band, and {server} to the server.")


@app.command()
def show(file: Annotated[Path, typer.Argument(help="A site key or a server context.")]) -> None:
    """Print the kind of a key file and its key id; never the secret."""
    try:
        _show({"holds": "a server context", **ServerContext.load(file).describe()})
    except ProtectionError:
        _show({"holds": "a site's secret key", **SiteKey.load(file).describe()})


@app.command()
def rotate(key: SiteKeyFile, server: ServerFile) -> None:
    """Replace the key by a new one; the old key stays beside it under its id."""
    site_key = SiteKey.rotate(key)
    server.unlink(missing_ok=True)
    site_key.context.save(server)
    _show(site_key.describe())
    print(f"Give {key} to the other sites again, and {server} to the server.")


@app.command()
def check(key: SiteKeyFile, server: ServerFile) -> None:
    """Check that a site key and a server context belong together, by an encrypted sum."""
    secret, context = SiteKey.load(key), ServerContext.load(server)
    if secret.context != context:
        raise ProtectionError(
            f"{server} is not for {key}: {context.describe()['key-id']} is not "
            f"{secret.describe()['key-id']}"
        )
    plan, message_context = IntegerPlan(secret.scheme, 1), MessageContext("check", 0, "check")
    total = make_sum(context, plan, message_context, 3, WeightedMean)
    sites = [make_site(secret, name, 3) for name in ("a", "b", "c")]
    for number, site in enumerate(sites, start=1):
        total.add(site.seal_integers(plan, message_context, np.array([number], np.int64)))
    opened = sites[0].open_integers(plan, message_context, total.result())
    if opened.values.tolist() != [6]:
        raise ProtectionError(f"{key}: a sum of 1, 2 and 3 opens as {opened.values[0]}")
    print(f"{key} and {server} belong together; 1 + 2 + 3 = {opened.values[0]} under encryption")


def _show(values: dict[str, str]) -> None:
    for name, value in values.items():
        print(f"{name}: {value}")
