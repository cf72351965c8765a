"""The README of each party: what to run, what is secret, what must stay where it is."""

from datetime import datetime

from ucadi_flwr.deployment.kit.address import Address


def server(address: Address, sites: list[str], expires: datetime, key_id: str) -> str:
    """For whoever runs the server."""
    models = (
        "Models are not encrypted: whoever runs\n  this server can read every site's model."
        if key_id == "none"
        else "No file here opens a site's model, and\n  no file that does may ever be put here."
    )
    return f"""# The server of the federation at {address}

Sites: {", ".join(sites)}. Run this in this folder (`ucadi server KIT/server` from elsewhere):

```console
$ ucadi server .
```

- `server.key` is secret: mode 0600, for the server alone. {models}
- `node-keys/` has the public key of every site that may join, `revoked/` of those that may not.
- The certificate expires on {expires:%Y-%m-%d}; whoever made the kit makes the next one with
  `ucadi provision --out KIT --renew`.
- Flower does not authenticate who submits a run, and a run is code that sites execute. Let
  hospitals reach `/v1/fleet/` only, by a proxy or firewall, and nobody else reach this port.
"""


def site(name: str, address: Address, fingerprint: str, key_id: str) -> str:
    """For one hospital."""
    secret = (
        "`node.key` is secret: keep mode 0600, and give it to nobody."
        if key_id == "none"
        else "`node.key` (of this site only) and `encryption.key` (the same at all sites) are\n"
        "  secret: keep mode 0600, never send them to the server, and never by mail."
    )
    return f"""# Site {name} of the federation at {address}

Run these in this folder. DIR is the folder of the site's images, with its manifest:

```console
$ ucadi site . --data DIR --check
$ ucadi site . --data DIR
```

- {secret}
- To compare by telephone: node key {fingerprint}, encryption key {key_id}.
- The only connections are from here to {address}. `ca.crt` authenticates the server.
- If you are handed a newer folder, replace this one by it.
"""


def authority(address: Address, sites: list[str]) -> str:
    """For whoever made the kit."""
    parties = "\n".join(f"- `{name}/` to {name} only" for name in sites)
    return f"""# The authority of the federation at {address}

**Give this folder to nobody.** It stays with whoever provisions, on a machine that is not the
federation's server. With `ca.key` anybody can pose as the server; `former-keys/` open old models.

Hand out the other folders out of band, each to its party only:

- `server/` to whoever runs the server
{parties}

Keep a copy of them here: changes need it. Run no program in these copies.

```console
$ ucadi provision --out KIT --add NAME      # another site; the others keep what they have
$ ucadi provision --out KIT --revoke NAME   # a site leaves; all others get a new encryption key
$ ucadi provision --out KIT --rotate        # a new encryption key for all
$ ucadi provision --out KIT --renew         # a new server certificate
```

Each command prints what to hand out again, and to which party. An added site gets the key that the
others have, and can open what was sealed under it before; rotate as well if it must not. The name
of a revoked site cannot be used again.
"""
