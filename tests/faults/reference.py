"""The model that a run must give: of the same rounds over the loopback network, without faults."""

import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
from flwr.app import Error, Message
from helpers import chaos
from helpers.federation import configs, run
from safetensors.numpy import load_file

from ucadi_flwr.exchange.sealed_run import open_sealed
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.results.layout import ServerFolder
from ucadi_flwr.server import replies

State = dict[str, np.ndarray]


def replay(data: Path, strategy: str, rounds: list[list[str]], recipe: str, task: str) -> State:
    """The model if exactly these sites of the folder answer in each round."""
    sites = sorted(path.name for path in data.iterdir())

    def absent(node: int, message: Message) -> Message:
        kind, group = message.metadata.message_type, message.metadata.group_id
        if kind == "query" or kind == "evaluate" or sites[node - 100] in rounds[int(group) - 1]:
            return message
        return Message(Error(8, "not in the ledger"), reply_to=message)

    least = min(map(len, rounds))
    with tempfile.TemporaryDirectory(prefix="ucadi-replay-") as folder:
        make = configs(Path(folder), data)
        Path(folder, "tiny.yaml").write_text(task, encoding="utf-8")
        sealed = strategy.startswith("ucadi")
        scheme = "bfv" if sealed else ""
        config = make(strategy, scheme=scheme, recipe=recipe or None, rounds=len(rounds))
        config = config.changed(nodes=len(sites) if least else 0)
        with patch.object(replies, "POLL_SECONDS", 0.001):
            run(config, nodes=len(sites), fault=absent)
        assert chaos.ledger(config.server) == rounds, (chaos.ledger(config.server), rounds)
        return model(config.server, config.task, config.strategy, Path(config.key))


def model(server: Path, task: str, strategy: str, key: Path) -> State:
    """The model of a run; opened with a site's key if it is sealed."""
    sealed = ServerFolder(server).sealed
    if not sealed.exists():
        return load_file(server / "model.safetensors")
    recipes = loader.load(TaskRecipe, task), loader.load(StrategyRecipe, strategy)
    return open_sealed(sealed, *recipes, SiteKey.load(key)).state


def same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(a[n].tobytes() == b[n].tobytes() for n in a)
