"""Flower's messages ↔ :class:`SiteClient`; nothing else knows the names of the records.

A message holds ``config`` (what to do, and the digests of the recipes it was meant for) and,
but for a query, ``arrays`` (the model, by tensor name).
"""

from typing import cast

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.common import NDArrays, Scalar

from ucadi_flwr.data.sites import open_sites, pooled
from ucadi_flwr.errors import DataError, FederationError
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.run_config import RunConfig
from ucadi_flwr.site_client import SiteClient

app = ClientApp()


@app.query()
def hello(message: Message, context: Context) -> Message:
    """Who are you: the site's name and numbers of cases."""
    properties = open_client(message, context).get_properties({})
    content = RecordDict({"config": ConfigRecord({**properties})})
    return Message(content=content, reply_to=message)


@app.train()
def fit(message: Message, context: Context) -> Message:
    """Train on the site's cases."""
    client, config = open_client(message, context), _config(message)
    arrays, examples, metrics = client.fit(_arrays(message, client), config)
    model = ArrayRecord({name: Array(a) for name, a in zip(client.names, arrays, strict=True)})
    numbers = {key: cast(float, value) for key, value in metrics.items()}
    record = MetricRecord({**numbers, "num-examples": examples})
    return Message(content=RecordDict({"arrays": model, "metrics": record}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Test on the site's cases."""
    client, config = open_client(message, context), _config(message)
    loss, examples, metrics = client.evaluate(_arrays(message, client), config)
    counts = np.frombuffer(cast(bytes, metrics["counts"]), np.int64)
    content = RecordDict(
        {
            "counts": ArrayRecord({"counts": Array(counts)}),
            "metrics": MetricRecord({"loss": loss, "num-examples": examples}),
        }
    )
    return Message(content=content, reply_to=message)


def open_client(message: Message, context: Context) -> SiteClient:
    """The site that this node is, after its own copies of the recipes were checked.

    In a simulation the partition number picks the site among those of the run's data folder.
    """
    run = RunConfig.read(context.run_config)
    config = message.content.config_records["config"]
    task = loader.load(TaskRecipe, run.task)
    strategy = loader.load(StrategyRecipe, run.strategy)
    for recipe, key in ((task, "task-digest"), (strategy, "strategy-digest")):
        if loader.digest(recipe) != config[key]:
            raise FederationError(
                f"recipe {recipe.name} differs from the server's ({key} {str(config[key])[:12]}…); "
                "bring both to the same version"
            )
    torch.set_num_threads(run.threads)
    sites = open_sites(run.data_folder, task, run.sites or None)
    partition = int(context.node_config["partition-id"])
    if partition >= len(sites):
        raise DataError(f"{run.data_folder} has {len(sites)} sites; run that many nodes")
    site = list(sites.values())[partition]
    if strategy.cohort == "pooled" and message.metadata.message_type == "train":
        site = pooled(sites)
    return SiteClient(
        task, strategy, site, cache=run.folder / "cache", predictions=run.cell / "predictions"
    )


def _config(message: Message) -> dict[str, Scalar]:
    return cast(dict[str, Scalar], {**message.content.config_records["config"]})


def _arrays(message: Message, client: SiteClient) -> NDArrays:
    record = message.content.array_records["arrays"]
    if set(record) != set(client.names):
        raise FederationError(
            f"the server's model has {len(record)} tensors that are not those of task "
            f"{client.task.name}"
        )
    return [record[name].numpy() for name in client.names]
