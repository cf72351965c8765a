"""Every path of a result folder, once.

::

    OUT/                              an experiment (run_sim.py --out)
      results.json analysis.json report.html sync-study.csv
      recipes/ tables/ figures/ phantom/
      cache/                          preprocessed images, removed at the end
      STRATEGY/seedK[/foldJ]/         one run
        server/                       all that the server writes; a real federation has no more
        sites/                        what simulated sites keep, and the keys of the simulation
        predictions/MODEL/SITE.csv    MODEL is 'all' or the one site that trained it
        features/MODEL/SITE.safetensors
        model.safetensors             an encrypted run's model, opened by the experiment
        flower.log
"""

from dataclasses import dataclass
from pathlib import Path

CSV = ".csv"
TENSORS = ".safetensors"


@dataclass(frozen=True)
class ServerFolder:
    """What the server of one run writes."""

    path: Path

    @property
    def journal(self) -> Path:
        """Events as they happen (:mod:`ucadi_flwr.results.journal`)."""
        return self.path / "journal.jsonl"

    @property
    def result(self) -> Path:
        """The last file that a run writes: it exists if and only if the run finished."""
        return self.path / "run.json"

    @property
    def checkpoints(self) -> Path:
        """The run's state after its last rounds; removed when it finishes."""
        return self.path / "checkpoints"

    @property
    def sealed(self) -> Path:
        """The sums of an encrypted run, for ``ucadi open``."""
        return self.path / f"sealed{TENSORS}"

    @property
    def models(self) -> list[Path]:
        """The models of a run without encryption, in the order of their names."""
        return sorted(self.path.glob(f"model*{TENSORS}"))

    @property
    def finished(self) -> bool:
        """Whether the run wrote its last file."""
        return self.result.is_file()


@dataclass(frozen=True)
class SitesFolder:
    """What the sites of a simulated run keep for themselves, and the simulation's keys."""

    path: Path

    @property
    def key(self) -> Path:
        """The sites' secret key; removed when the run is done."""
        return self.path / "encryption.key"

    @property
    def context(self) -> Path:
        """The server's context that belongs to the key."""
        return self.path / "server.context"

    @property
    def initial(self) -> Path:
        """The initial model, sealed under the key."""
        return self.path / "initial.sealed"

    def memory(self, site: str) -> Path:
        """What a site remembers of runs."""
        return self.path / site / "memory"

    def own_model(self, site: str) -> Path:
        """The model as one site uses it, where its tensors or its model are its own."""
        return self.path / f"{site}{TENSORS}"


@dataclass(frozen=True)
class RunFolder:
    """One run: strategy × seed (× fold)."""

    path: Path

    @property
    def server(self) -> ServerFolder:
        """The server's part."""
        return ServerFolder(self.path / "server")

    @property
    def sites(self) -> SitesFolder:
        """The simulated sites' part."""
        return SitesFolder(self.path / "sites")

    @property
    def log(self) -> Path:
        """What Flower printed."""
        return self.path / "flower.log"

    @property
    def predictions(self) -> Path:
        """A folder for every model, with a file for every site that tested it."""
        return self.path / "predictions"

    def predictions_of(self, trained_at: str, site: str) -> Path:
        """One model's predictions on one site's cases."""
        return self.predictions / trained_at / f"{site}{CSV}"

    def all_predictions_of(self, trained_at: str) -> list[Path]:
        """One model's predictions at all sites that tested it, by the sites' names."""
        return sorted((self.predictions / trained_at).glob(f"*{CSV}"))

    def features_of(self, trained_at: str, site: str) -> Path:
        """One model's features of one site's test cases."""
        return self.path / "features" / trained_at / f"{site}{TENSORS}"

    def all_features_of(self, trained_at: str) -> list[Path]:
        """One model's features at all sites, by the sites' names."""
        return sorted((self.path / "features" / trained_at).glob(f"*{TENSORS}"))


@dataclass(frozen=True)
class ExperimentFolder:
    """One experiment: a task, its strategies and seeds."""

    path: Path

    @property
    def results(self) -> Path:
        """Every finished run (:mod:`ucadi_flwr.results.experiment`)."""
        return self.path / "results.json"

    @property
    def analysis(self) -> Path:
        """What the predictions say (:mod:`ucadi_flwr.results.analysis`)."""
        return self.path / "analysis.json"

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / "report.html"

    @property
    def tables(self) -> Path:
        """The report's tables as CSV."""
        return self.path / "tables"

    @property
    def figures(self) -> Path:
        """The report's pictures as SVG and PNG."""
        return self.path / "figures"

    @property
    def sync_study(self) -> Path:
        """The table of a study of synchronisation intervals."""
        return self.path / f"sync-study{CSV}"

    @property
    def phantom(self) -> Path:
        """The computed images that stand in where no data are given."""
        return self.path / "phantom"

    @property
    def cache(self) -> Path:
        """Preprocessed images; removed at the end, because they are patients'."""
        return self.path / "cache"

    @property
    def recipes(self) -> Path:
        """The recipes as they are run, overrides included."""
        return self.path / "recipes"

    @property
    def task(self) -> Path:
        """The task recipe as it is run."""
        return self.recipes / "task.yaml"

    def strategy(self, name: str) -> Path:
        """A strategy recipe as it is run."""
        return self.recipes / f"strategy-{name}.yaml"

    def run(self, strategy: str, seed: int, fold: int = 0) -> RunFolder:
        """The folder of one run; ``fold`` from 1, 0 without a cross-validation."""
        return RunFolder(self.path / run_name(strategy, seed, fold))


def run_name(strategy: str, seed: int, fold: int = 0) -> str:
    """A run's folder within its experiment, with ``/``."""
    return f"{strategy}/seed{seed}" + (f"/fold{fold}" if fold else "")
