"""The plan of an experiment: one task, strategies and seeds, checked before anything is written."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ucadi_flwr.data.sites import Division
from ucadi_flwr.errors import DataError, RecipeError
from ucadi_flwr.exchange.initial_model import load_initial_model
from ucadi_flwr.models.factory import make_model
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.run_config import number_of_rounds
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.results.layout import ExperimentFolder, RunFolder, run_name


@dataclass(frozen=True)
class Run:
    """One strategy × seed × fold of a cross-validation (from 1; 0 without one)."""

    strategy: StrategyRecipe
    seed: int
    fold: int = 0

    @property
    def name(self) -> str:
        """The run's folder within the experiment."""
        return run_name(self.strategy.name, self.seed, self.fold)

    @property
    def title(self) -> str:
        """The run's name on the terminal."""
        fold = f" · fold {self.fold}" if self.fold else ""
        return f"{self.strategy.name} · seed {self.seed}{fold}"


@dataclass(frozen=True)
class ExperimentPlan:
    """An experiment that was checked and can start; :func:`make_plan` explains the values."""

    task: TaskRecipe
    strategies: tuple[StrategyRecipe, ...]
    seeds: tuple[int, ...]
    data: Path | None
    sites: int | None
    rounds: int | None
    out: Path
    command: str
    bandwidth: int = 0
    resume: bool = False
    hold_out: tuple[str, ...] = ()
    folds: int = 0
    readers: Path | None = None
    initial: Path | None = None

    def rounds_of(self, strategy: StrategyRecipe) -> int:
        """The number of rounds of one run."""
        return self.rounds or number_of_rounds(self.task, strategy)

    @property
    def division(self) -> Division:
        """How the data folder is divided into sites; the test cases are the same in every run."""
        return Division(self.sites if self.data else None, self.hold_out)

    def runs(self, strategy: StrategyRecipe, seed: int) -> list[Run]:
        """The runs of one cell: one, or one for each fold."""
        return [Run(strategy, seed, k) for k in range(1, self.folds + 1)] or [Run(strategy, seed)]

    @property
    def grid(self) -> list[tuple[StrategyRecipe, int]]:
        """Strategy and seed of every cell."""
        return [(strategy, seed) for strategy in self.strategies for seed in self.seeds]

    @property
    def folder(self) -> ExperimentFolder:
        """The experiment's folder, absolute."""
        return ExperimentFolder(self.out.resolve())

    def run_folder(self, run: Run) -> RunFolder:
        """One run's folder, absolute."""
        return RunFolder(self.folder.path / run.name)

    def check_quorum(self, sites: int) -> None:
        """Raise :class:`RecipeError` if a strategy needs more training sites than there are."""
        for strategy in self.strategies:
            if strategy.min_sites > sites:
                raise RecipeError(
                    f"strategy {strategy.name} needs min-sites: {strategy.min_sites}, and {sites} "
                    "sites train; divide a folder with --sites, or add sites"
                )


def make_plan(
    task: str,
    strategies: Sequence[str],
    *,
    seeds: Sequence[int],
    out: Path,
    data: Path | None = None,
    sites: int | None = None,
    rounds: int | None = None,
    local_epochs: int | None = None,
    intervals: Sequence[int] = (),
    settings: Mapping[str, Any] | None = None,
    command: str = "",
    bandwidth: int = 0,
    resume: bool = False,
    hold_out: Sequence[str] = (),
    folds: int = 0,
    readers: Path | None = None,
    initial: Path | None = None,
) -> ExperimentPlan:
    """Load the recipes, and check all that can be checked before images are read.

    Args:
        task: name or file of the task recipe.
        strategies: names or files of the strategy recipes.
        seeds: one cell for each strategy and seed; not negative, all different.
        out: folder of the results.
        data: folder of the images; None is the task's phantom.
        sites: number of sites to divide a one-site folder, or the phantom, into.
        rounds: number of rounds; None is as many as make up the task's epochs.
        local_epochs: epochs between two rounds; None is the strategy's.
        intervals: numbers of local epochs; each makes its own variant of every strategy.
        settings: dotted recipe key → value, for the task or for every strategy, whichever has the
            key. A key in a section that only some strategies have, such as ``tailoring``, changes
            those strategies only.
        command: the command line, for the record.
        bandwidth: bytes/s between site and server, to report transmission times; 0 is unknown.
        resume: continue with the runs that ``out`` does not hold yet.
        hold_out: sites that are tested and never train.
        folds: number of folds of a cross-validation; 0 is none.
        readers: CSV file of readers' calls.
        initial: file of the initial model; None is the seed's.

    Raises :class:`RecipeError` or :class:`DataError`.

    >>> plan = make_plan("phantom-covid2", ["fedavg"], seeds=[0, 1], out=Path("runs/example"))
    >>> [run.title for cell in plan.grid for run in plan.runs(*cell)]
    ['fedavg · seed 0', 'fedavg · seed 1']
    """
    for name, value in (("--rounds", rounds), ("--local-epochs", local_epochs), ("--sites", sites)):
        if value is not None and value < 1:
            raise RecipeError(f"{name} {value}: must be at least 1")
    for what, values in (("--strategy", strategies), ("--seeds", seeds), ("--hold-out", hold_out)):
        if repeated := [value for value, n in Counter(values).items() if n > 1]:
            raise RecipeError(f"{what}: {repeated[0]} appears twice")
    if folds < 0 or folds == 1:
        raise RecipeError(f"--folds {folds}: a cross-validation has at least 2")
    if negative := [seed for seed in seeds if seed < 0]:
        raise RecipeError(f"--seeds {negative[0]}: a seed is 0 or more")
    task_settings, strategy_settings = _by_recipe(settings or {})
    if local_epochs is not None:
        strategy_settings["local-epochs"] = local_epochs
    if ExperimentFolder(out).results.exists() and not resume:
        raise DataError(f"{out}: holds results already; add --resume, or choose another --out")
    recipe = loader.load(TaskRecipe, task, task_settings)
    if data is None and recipe.phantom is None:
        raise DataError(f"task {recipe.name} has no built-in phantom: name its images with --data")
    if initial is not None:
        load_initial_model(initial, make_model(recipe, seed=0), recipe)  # an error stops all runs
    strategy_recipes = tuple(
        loader.load(
            StrategyRecipe, name, _settings_for(name, strategy_settings, strategies) | variant
        )
        for name in strategies
        for variant in _variants(name, intervals)
    )
    names = Counter(strategy.name for strategy in strategy_recipes)
    if repeated := [name for name, n in names.items() if n > 1]:
        raise RecipeError(f"--strategy: two recipes are named {repeated[0]}; rename one")
    plan = ExperimentPlan(
        task=recipe,
        strategies=strategy_recipes,
        seeds=tuple(seeds),
        data=data,
        sites=sites,
        rounds=rounds,
        out=out,
        command=command,
        bandwidth=bandwidth,
        resume=resume,
        hold_out=tuple(hold_out),
        folds=folds,
        readers=readers,
        initial=initial,
    )
    if recipe.phantom is not None and data is None:
        plan.check_quorum((sites or recipe.phantom.sites) - len(plan.hold_out))
    return plan


def _variants(strategy: str, intervals: Sequence[int]) -> list[dict[str, Any]]:
    """Changes that make a strategy's variants: none, or a number of local epochs and a name."""
    stem = Path(strategy).stem
    return [{"local-epochs": e, "name": f"{stem}-e{e}"} for e in intervals] or [{}]


def _settings_for(
    strategy: str, settings: Mapping[str, Any], strategies: Sequence[str]
) -> dict[str, Any]:
    """The settings of one strategy: ``tailoring.epochs`` is for those with that section only."""

    def has_section(name: str, key: str) -> bool:
        return "." not in key or loader.has_section(loader.load(StrategyRecipe, name), key)

    for key in settings:
        if not any(has_section(name, key) for name in strategies):
            section = key.partition(".")[0]
            raise RecipeError(f"--set {key}: none of the strategies has a section {section}")
    return {key: value for key, value in settings.items() if has_section(strategy, key)}


def _by_recipe(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of the task, and those of the strategies, by the first part of each key."""
    task_settings, strategy_settings = {}, {}
    for key, value in settings.items():
        if loader.has_key(TaskRecipe, key):
            task_settings[key] = value
        elif loader.has_key(StrategyRecipe, key):
            strategy_settings[key] = value
        else:
            raise RecipeError(f"--set {key}: no task or strategy recipe has this key")
    return task_settings, strategy_settings
