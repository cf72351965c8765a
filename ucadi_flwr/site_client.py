"""A site's part in the federation: open the global model, work on its own cases, answer.

It knows nothing of messages (:mod:`ucadi_flwr.client_app` does) and nothing of other sites.
"""

import hashlib
import time
from pathlib import Path

import numpy as np
import torch
from flwr.client import NumPyClient
from flwr.common import NDArrays, Scalar
from torch import nn

from ucadi_flwr.build import make_model, set_schedule
from ucadi_flwr.data.dataset import testing_set, training_set
from ucadi_flwr.data.partition import Part
from ucadi_flwr.data.sites import POOLED, Site
from ucadi_flwr.evaluation.counts import Counts
from ucadi_flwr.evaluation.features import recorded, write_features
from ucadi_flwr.evaluation.predict import probabilities
from ucadi_flwr.evaluation.predictions import write_predictions
from ucadi_flwr.models.parts import output_layer
from ucadi_flwr.models.state import read_state, trainable_names, write_state
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.training.local import LocalWork, train


class SiteClient(NumPyClient):
    """One site. ``fit`` and ``evaluate`` take and give the model as Flower's list of arrays.

    ``shapes`` gives the order of the arrays. Where ``predictions`` is a folder, the predictions on
    the cases that are tested are kept there, at the site, and features beside it.
    """

    def __init__(
        self,
        task: TaskRecipe,
        strategy: StrategyRecipe,
        site: Site,
        cache: Path,
        predictions: Path | None = None,
    ) -> None:
        self.task, self.strategy, self.site = task, strategy, site
        self.cache, self.predictions = cache, predictions
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model = make_model(task, seed=0)
        self.shapes = {name: values.shape for name, values in read_state(model).items()}
        self.trainable = trainable_names(model)

    @property
    def weight(self) -> int:
        """n_k × E_k (S0), or 1 where every site weighs the same (S1)."""
        sized = self.strategy.weights == "size-epochs"
        return len(self.site.parts["train"]) * self.strategy.local_epochs if sized else 1

    def get_properties(self, config: dict[str, Scalar]) -> dict[str, Scalar]:
        """The site's name, whether it trains and, unless that is hidden, on how many cases."""
        known: dict[str, Scalar] = {"site": self.site.name, "trains": self.site.trains}
        if self.strategy.protection.weights == "encrypted":
            return known
        return {**known, "examples": len(self.site.parts["train"])}

    def fit(
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[NDArrays, int, dict[str, Scalar]]:
        """Train E epochs; ``config`` has ``server-round`` (from 1), ``rounds`` and ``seed``."""
        start = time.perf_counter()
        server_round, rounds = int(config["server-round"]), int(config["rounds"])
        epochs, seed = self.strategy.local_epochs, int(config["seed"])
        model = self._open(parameters)
        work = LocalWork(
            first_epoch=(server_round - 1) * epochs,
            epochs=epochs,
            total_epochs=rounds * epochs,
            seed=derived_seed(seed, self.site.name, server_round),
            proximal_mu=self.strategy.proximal_mu,
        )
        dataset = training_set(self.site, self.task, self.cache, work.seed)
        batches = -(-len(dataset) // self.task.training.batch_size)
        set_schedule(model, work.first_epoch * batches)
        loss = train(model, dataset, self.task.training, work, self.device)
        metrics: dict[str, Scalar] = {
            "loss": loss,
            "epochs": epochs,
            "seconds": time.perf_counter() - start,
        }
        return list(read_state(model).values()), len(dataset), metrics

    def evaluate(
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[float, int, dict[str, Scalar]]:
        """Test the model that ``config["trained-at"]`` names; ``counts`` are int64 bytes.

        ``config["tested"]`` is the part of the cases to use: test, or validation to choose by.
        """
        part: Part = "validation" if config["tested"] == "validation" else "test"
        model = self._open(parameters)
        dataset = testing_set(self.site, self.task, self.cache, part)
        with recorded(model.get_submodule(output_layer(model))) as inputs:
            scores = probabilities(model, dataset, self.device)
        labels = np.array(self.site.labels(part), np.int64)
        if self.predictions is not None:
            cases = [(case.name, case.patient) for case in self.site.parts[part]]
            path = self.predictions / str(config["trained-at"]) / f"{self.site.name}.csv"
            write_predictions(path, cases, labels, scores, self.task.classes)
            if part == "test" and config["trained-at"] == POOLED:
                folder = self.predictions.parent / "features" / POOLED
                write_features(folder / f"{self.site.name}.safetensors", inputs, labels)
        true_scores = np.maximum(scores[np.arange(len(labels)), labels], np.finfo(float).tiny)
        loss = float(-np.log(true_scores).mean())
        return loss, len(labels), {"counts": Counts.of(scores, labels).to_vector().tobytes()}

    def _open(self, parameters: NDArrays) -> nn.Module:
        model = make_model(self.task, seed=0)
        write_state(model, dict(zip(self.shapes, parameters, strict=True)))
        return model.to(self.device)


def derived_seed(seed: int, site: str, server_round: int) -> int:
    """A 63-bit seed of its own for every site and round of an experiment."""
    digest = hashlib.sha256(f"{seed}/{site}/{server_round}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
