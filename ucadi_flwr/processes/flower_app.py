"""The Flower app that runs the installed package: a ``pyproject.toml`` and nothing else."""

from collections.abc import Mapping

import tomli_w


def manifest(config: Mapping[str, bool | float | int | str]) -> str:
    """The app's ``pyproject.toml`` with ``config`` as its run-config.

    Flower allows neither lists nor absent values in a run-config.
    """
    components = {
        "serverapp": "ucadi_flwr.server_app:app",
        "clientapp": "ucadi_flwr.client_app:app",
    }
    app = {"publisher": "ucadi", "components": components, "config": dict(config)}
    project = {"name": "ucadi-flwr", "version": "0.1.0", "license": "Apache-2.0"}
    return tomli_w.dumps({"project": project, "tool": {"flwr": {"app": app}}})
