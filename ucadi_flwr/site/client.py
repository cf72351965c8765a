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
from numpy.typing import NDArray
from torch import nn

from ucadi_flwr.data.dataset import testing_set, training_set
from ucadi_flwr.data.manifest import Part
from ucadi_flwr.data.sites import Site
from ucadi_flwr.evaluation.counts import Counts
from ucadi_flwr.evaluation.predict import probabilities, recorded_inputs
from ucadi_flwr.models.factory import make_model, set_schedule
from ucadi_flwr.models.files import save_site_model
from ucadi_flwr.models.parts import merge, output_layer, split
from ucadi_flwr.models.state import read_state, write_state
from ucadi_flwr.models.travelling import TravellingTensors, travelling_tensors
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.recipes.strategy import Personalisation, StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.results.features import write_features
from ucadi_flwr.results.layout import RunFolder
from ucadi_flwr.results.predictions import write_predictions
from ucadi_flwr.site.personalisation import personalise
from ucadi_flwr.training.local import LocalUpdate, train


class SiteClient(NumPyClient):
    """One site. ``fit`` and ``evaluate`` take and give the model as Flower's list of arrays.

    ``local_state`` are the tensors that stay here (the recipe's ``local``), by name: set before
    ``fit`` or ``evaluate`` by whoever remembers them, and replaced by ``fit``. A site that has none
    starts with those that the run's seed makes.

    Args:
        task: what is diagnosed.
        strategy: how sites learn together.
        site: the cases to work on.
        cache: folder for preprocessed images.
        results: the run's folder, where the predictions and features of the tested cases are
            kept; None keeps none.
        own_model: a file for the model, if it becomes the site's own; None keeps none.
        tensors: what travels; read off the task unless given.
    """

    def __init__(
        self,
        task: TaskRecipe,
        strategy: StrategyRecipe,
        site: Site,
        cache: Path,
        results: RunFolder | None = None,
        own_model: Path | None = None,
        tensors: TravellingTensors | None = None,
    ) -> None:
        self.task, self.strategy, self.site = task, strategy, site
        self.cache, self.results, self.own_model = cache, results, own_model
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.tensors = tensors or travelling_tensors(task, strategy.local)
        self.local_state: dict[str, NDArray[np.float32]] = {}

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
        model = self._open(parameters, seed)
        work = LocalUpdate(
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
        shared, self.local_state = split(read_state(model), self.tensors.local)
        return list(shared.values()), len(self.site.parts["train"]), metrics

    def evaluate(
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[float, int, dict[str, Scalar]]:
        """Test the model that ``config["trained-at"]`` names; ``counts`` are int64 bytes.

        ``config["tested"]`` is the part of the cases to use: test, or validation to choose by. If
        the strategy tailors (S2), a site that trains on more than one class makes the model its own
        first.
        """
        model = self._open(parameters, int(config["seed"]))
        if self.tailoring is not None:
            rounds = int(config["rounds"])
            personalise(
                model,
                self.site,
                self.task,
                self.tailoring,
                cache=self.cache,
                seed=derived_seed(int(config["seed"]), self.site.name, rounds + 1),
                epochs_before=rounds * self.strategy.local_epochs,
                device=self.device,
            )
        own = self.tailoring or (self.tensors.local and self.site.trains)
        if self.own_model is not None and own:
            save_site_model(self.own_model, model, self.task, self.site.name)
        return self.test(model, config)

    @property
    def tailoring(self) -> Personalisation | None:
        """The recipe's, at a site that trains on more than one class.

        Tailored to one, a model would call everything that class, and test well there.
        """
        several = len(set(self.site.labels("train"))) > 1
        return self.strategy.personalisation if several else None

    def test(
        self, model: nn.Module, config: dict[str, Scalar]
    ) -> tuple[float, int, dict[str, Scalar]]:
        """Test a model as it is; ``config`` and the answer are those of :meth:`evaluate`."""
        part: Part = "validation" if config["tested"] == "validation" else "test"
        dataset = testing_set(self.site, self.task, self.cache, part)
        with recorded_inputs(model.get_submodule(output_layer(model))) as inputs:
            scores = probabilities(model, dataset, self.device)
        labels = np.array(self.site.labels(part), np.int64)
        if self.results is not None:
            cases, trained_at = self.site.parts[part], str(config["trained-at"])
            path = self.results.predictions_of(trained_at, self.site.name)
            names = [(case.name, case.patient) for case in cases]
            write_predictions(path, names, labels, scores, self.task.classes)
            if part == "test" and trained_at == ALL_SITES:
                path = self.results.features_of(trained_at, self.site.name)
                write_features(path, torch.cat(inputs).numpy(), labels)
        true_scores = np.maximum(scores[np.arange(len(labels)), labels], np.finfo(float).tiny)
        loss = float(-np.log(true_scores).mean())
        return loss, len(labels), {"counts": Counts.of(scores, labels).to_vector().tobytes()}

    def _open(self, parameters: NDArrays, seed: int) -> nn.Module:
        """The model that came, with the tensors that stay here; theirs may be the initial ones."""
        model = make_model(self.task, seed)
        whole = read_state(model)
        _, initial = split(whole, self.tensors.local)
        shared = dict(zip(self.tensors.shapes, parameters, strict=True))
        write_state(model, merge(shared, self.local_state or initial, whole))
        return model.to(self.device)


def derived_seed(seed: int, site: str, server_round: int) -> int:
    """A 63-bit seed of its own for every site and round of an experiment."""
    digest = hashlib.sha256(f"{seed}/{site}/{server_round}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
