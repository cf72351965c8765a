"""The README of each party: what to do, what is secret, what goes nowhere."""

from datetime import datetime

from ucadi_flwr.deployment.kit.address import Address


def server(address: Address, sites: list[str], expires: datetime, key_id: str) -> str:
    """For whoever runs the server."""
    models = (
        "Models are not encrypted: whoever runs\n  this server can read every site's model."
        if key_id == "none"
        else "Nothing here opens a site's model, and\n  no file that does may ever come here."
    )
    return f"""# The server of the federation at {address}

Sites: {", ".join(sites)}. Run this in this folder (`ucadi server KIT/server` from elsewhere):

```console
$ ucadi server .
```

- `server.key` is secret: mode 0600, for the server alone. {models}
- `node-keys/` has the public key of every site that may join, `revoked/` of those that may not.
- The certificate ends on {expires:%Y-%m-%d}; whoever made the kit makes the next one with
  `ucadi provision --out KIT --renew`.
- Flower does not ask who submits a run, and a run is code that sites execute. Let hospitals reach
  `/v1/fleet/` only, by a proxy or firewall, and nobody else reach this port.
"""


def site(name: str, address: Address, fingerprint: str, key_id: str) -> str:
    """For one hospital."""
    secret = (
        "`node.key` is secret: mode 0600, never to anybody else."
        if key_id == "none"
        else "`node.key` (yours alone) and `encryption.key` (the same at all sites) are secret:\n"
        "  mode 0600, never to the server, never by mail."
    )
    return f"""# Site {name} of the federation at {address}

Run these in this folder. DIR is the folder of the site's images, with its manifest:

```console
$ ucadi site . --data DIR --check
$ ucadi site . --data DIR
```

- {secret}
- To compare by telephone: node key {fingerprint}, encryption key {key_id}.
- Only connections out to {address} are made. `ca.crt` is what the server is known by.
- Handed this folder again? Put it in the place of this one.
"""


def authority(address: Address, sites: list[str]) -> str:
    """For whoever made the kit."""
    parties = "\n".join(f"- `{name}/` to {name} only" for name in sites)
    return f"""# The authority of the federation at {address}

**This folder goes nowhere.** It stays with whoever provisions, on a machine that is no server of
the federation. `ca.key` can make a false server; `former-keys/` open old models.

Hand out the other folders out of band, each to its party only:

- `server/` to whoever runs the server
{parties}

Keep them here too: changes need them. They are for handing out: run nothing in them that writes.

```console
$ ucadi provision --out KIT --add NAME      # another site; the others go on as they are
$ ucadi provision --out KIT --revoke NAME   # a site leaves; all others get a new encryption key
$ ucadi provision --out KIT --rotate        # a new encryption key for all
$ ucadi provision --out KIT --renew         # a new server certificate
```

Each says whom to hand what again. An added site gets the key that the others have, and can open
what was sealed with it before; rotate as well if it must not. The name of a revoked site is not
given again.
"""
