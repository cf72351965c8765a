"""What one site knows of one run, read once per process: recipes, cases, folders, key, plans.

A deployed node's configuration names its ``site``, its ``data-dir``, a ``cache-dir`` and a
``memory-dir`` of its own, its ``key`` and, if need be, ``threads``; nothing that a server says
names a file there. In a simulation the run-config names the data folder and the key, and the
partition number picks a site.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch

from ucadi_flwr.data.sites import Division, Site, open_sites, pooled
from ucadi_flwr.errors import DataError, FederationError, ProtectionError
from ucadi_flwr.exchange.agreement import Agreement
from ucadi_flwr.exchange.terms import RunTerms
from ucadi_flwr.models.travelling import TravellingTensors, travelling_tensors
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.base import check_site_name
from ucadi_flwr.recipes.run_config import RunConfig
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.results.layout import ExperimentFolder, RunFolder
from ucadi_flwr.site.client import SiteClient
from ucadi_flwr.site.exchange import SiteExchange
from ucadi_flwr.site.memory import SiteMemory

Settings = Mapping[str, bool | bytes | float | int | str]
"""A run-config or a node-config, as Flower holds them."""

KEPT_SESSIONS = 16
"""In one process: a simulation's processes serve several sites by turns."""


@dataclass(frozen=True)
class SiteFolders:
    """Where a site keeps things. ``results`` is None in a real federation."""

    cache: Path
    memory: Path
    own_model: Path
    results: RunFolder | None = None


@dataclass(frozen=True)
class SiteSession:
    """One site in one run.

    Args:
        task: the site's own copy of the recipe.
        strategy: the same.
        site: the site's cases.
        trained: the cases that it trains on; in the pooled reference arm those of all sites.
        folders: where it keeps things.
        key_file: of the sites' secret key; None if it was given none.
        threads: of the processor, for its work.
        run: the server's number of the run.
    """

    task: TaskRecipe
    strategy: StrategyRecipe
    site: Site
    trained: Site
    folders: SiteFolders = field(repr=False)
    key_file: Path | None = field(repr=False)
    threads: int
    run: str

    @cached_property
    def tensors(self) -> TravellingTensors:
        """What travels."""
        return travelling_tensors(self.task, self.strategy.local)

    @cached_property
    def agreement(self) -> Agreement:
        """The plans of what is summed."""
        classes = len(self.task.classes)
        return Agreement(self.strategy, self.run, self.tensors.shapes, classes)

    @cached_property
    def key(self) -> SiteKey | None:
        """The sites' secret key; None without encryption."""
        scheme = self.strategy.protection.scheme
        if scheme == "none":
            return None
        if self.key_file is None:
            raise ProtectionError(
                f"strategy {self.strategy.name} encrypts and this site has no key: start its node "
                'with key="FILE" in --node-config'
            )
        key = SiteKey.load(self.key_file)
        if key.scheme != scheme:
            raise ProtectionError(
                f"{self.key_file} is a key for {key.scheme}; the strategy needs {scheme}"
            )
        return key

    def client(self, training: bool = False) -> SiteClient:
        """The NumPyClient that does the work: on the cases to train on, or on the site's own."""
        return SiteClient(
            self.task,
            self.strategy,
            self.trained if training else self.site,
            self.folders.cache,
            self.folders.results,
            self.folders.own_model,
            self.tensors,
        )

    def exchange(self, training: bool = False) -> SiteExchange:
        """The site's end of the exchange, with its key and its memory of this run."""
        member = (self.trained if training else self.site).name
        memory = SiteMemory(self.folders.memory, self.run)
        return SiteExchange(self.agreement, self.key, member, memory, self.tensors.trainable)


def open_session(run_config: Settings, node_config: Settings, terms: RunTerms) -> SiteSession:
    """The session of this node in this run; opened once per process and run.

    Args:
        run_config: the run's, from the server.
        node_config: the node's own, or the simulation's.
        terms: of the message, which name the server's recipes.

    Raises :class:`FederationError` where the server's recipes are not the site's, and whatever
    reading the recipes and the cases raises.
    """
    run, node = tuple(sorted(run_config.items())), tuple(sorted(node_config.items()))
    session = _open(run, node, terms.task_digest, terms.strategy_digest, terms.run)
    torch.set_num_threads(session.threads)
    return session


@lru_cache(maxsize=KEPT_SESSIONS)
def _open(
    run_items: tuple[tuple[str, Any], ...],
    node_items: tuple[tuple[str, Any], ...],
    task_digest: str,
    strategy_digest: str,
    run: str,
) -> SiteSession:
    config, node = RunConfig.read(dict(run_items)), dict(node_items)
    deployed = "data-dir" in node
    if deployed and any(set(name) & set("./\\") for name in (config.run.task, config.run.strategy)):
        raise FederationError("a site takes recipes by their names, from its own copies")
    task = loader.load(TaskRecipe, config.run.task)
    strategy = loader.load(StrategyRecipe, config.run.strategy)
    for recipe, digest in ((task, task_digest), (strategy, strategy_digest)):
        if loader.digest(recipe) != digest:
            raise FederationError(
                f"recipe {recipe.name} differs from the server's (digest {digest[:12]}…); bring "
                "both to the same version"
            )
    if deployed:
        return _deployed(node, task, strategy, run)
    return _simulated(config, node, task, strategy, run)


def _simulated(
    config: RunConfig, node: Settings, task: TaskRecipe, strategy: StrategyRecipe, run: str
) -> SiteSession:
    """A site of the run's data folder."""
    settings = config.simulation
    if settings is None:
        raise FederationError("this node has no data-dir, and the run is no simulation")
    experiment = ExperimentFolder(Path(config.server.out))
    results = RunFolder(experiment.path / config.server.name)
    data = Path(settings.data) if settings.data else experiment.phantom
    division = Division(settings.sites or None, settings.held_out, settings.folds, settings.fold)
    sites = open_sites(data, task, division)
    partition = int(node["partition-id"])
    if partition >= len(sites):
        raise DataError(f"{data} has {len(sites)} sites; run that many nodes")
    site = list(sites.values())[partition]
    return SiteSession(
        task,
        strategy,
        site,
        pooled(sites) if strategy.cohort == "pooled" else site,
        SiteFolders(
            experiment.cache,
            results.sites.memory(site.name),
            results.sites.own_model(site.name),
            results,
        ),
        _key_file(node) or (Path(settings.key) if settings.key else None),
        settings.threads,
        run,
    )


def _deployed(node: Settings, task: TaskRecipe, strategy: StrategyRecipe, run: str) -> SiteSession:
    """A hospital's own node."""
    if strategy.cohort == "pooled":
        raise FederationError(f"strategy {strategy.name} pools images; no site gives them away")
    data, name = Path(str(node["data-dir"])), check_site_name(str(node.get("site", "")))
    sites = open_sites(data, task)
    if len(sites) != 1:
        raise DataError(f"{data}: has {len(sites)} sites ({', '.join(sites)}); a node is one site")
    site = replace(next(iter(sites.values())), name=name)
    cache = Path(str(node["cache-dir"]))
    memory = Path(str(node.get("memory-dir", cache.parent / "memory")))
    own_model = cache.parent / "models" / run / f"{name}.safetensors"
    return SiteSession(
        task,
        strategy,
        site,
        site,
        SiteFolders(cache, memory, own_model),
        _key_file(node),
        int(node.get("threads", os.cpu_count() or 1)),
        run,
    )


def _key_file(node: Settings) -> Path | None:
    """The key that the node's own configuration names, if it does."""
    return Path(str(node["key"])) if node.get("key") else None
