"""The Flower app that runs the installed package: it consists of a ``pyproject.toml`` only."""

from collections.abc import Mapping

import tomli_w


def manifest(config: Mapping[str, bool | float | int | str]) -> str:
    """The text of the app's ``pyproject.toml``.

    Args:
        config: the run-config; Flower allows neither lists nor absent values in it.

    >>> print(manifest({"seed": 7}).splitlines()[-1])
    seed = 7
    """
    components = {
        "serverapp": "ucadi_flwr.server_app:app",
        "clientapp": "ucadi_flwr.client_app:app",
    }
    app = {"publisher": "ucadi", "components": components, "config": dict(config)}
    project = {"name": "ucadi-flwr", "version": "0.1.0", "license": "Apache-2.0"}
    return tomli_w.dumps({"project": project, "tool": {"flwr": {"app": app}}})
