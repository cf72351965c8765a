"""What an experiment is: one task, strategies and seeds, checked before anything is touched."""

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
    """One strategy × seed, and which fold of a cross-validation (from 1; 0 is none)."""

    strategy: StrategyRecipe
    seed: int
    fold: int = 0

    @property
    def name(self) -> str:
        """The run's folder within the experiment."""
        return run_name(self.strategy.name, self.seed, self.fold)

    @property
    def title(self) -> str:
        """What it is called on the terminal."""
        fold = f" · fold {self.fold}" if self.fold else ""
        return f"{self.strategy.name} · seed {self.seed}{fold}"


@dataclass(frozen=True)
class Plan:
    """An experiment that was checked and can start."""

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
        """Rounds of one cell."""
        return self.rounds or number_of_rounds(self.task, strategy)

    @property
    def division(self) -> Division:
        """How the folder is divided; every run sees the same test cases."""
        return Division(self.sites if self.data else None, self.hold_out)

    def runs(self, strategy: StrategyRecipe, seed: int) -> list[Run]:
        """The runs of one cell: one, or one a fold."""
        return [Run(strategy, seed, k) for k in range(1, self.folds + 1)] or [Run(strategy, seed)]

    @property
    def grid(self) -> list[tuple[StrategyRecipe, int]]:
        """Every cell: strategy and seed."""
        return [(strategy, seed) for strategy in self.strategies for seed in self.seeds]

    @property
    def folder(self) -> ExperimentFolder:
        """The experiment's folder, absolute."""
        return ExperimentFolder(self.out.resolve())

    def run_folder(self, run: Run) -> RunFolder:
        """One run's folder, absolute."""
        return RunFolder(self.folder.path / run.name)

    def check_quorum(self, sites: int) -> None:
        """Raise :class:`RecipeError` if a strategy needs more sites than there are."""
        for strategy in self.strategies:
            if strategy.min_sites > sites:
                raise RecipeError(
                    f"strategy {strategy.name} needs min-sites: {strategy.min_sites} and there are "
                    f"{sites}; divide a folder with --sites, or add sites"
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
) -> Plan:
    """Load and check everything that can be checked without touching the disk.

    ``settings`` maps dotted recipe keys to values, for the task or for every strategy, whichever
    has the key; one into a section that not every strategy has, such as ``tailoring``, is for those
    that have it. ``intervals`` makes of each strategy one for every number of local epochs. Raises
    :class:`RecipeError` or :class:`DataError`.
    """
    for name, value in (("--rounds", rounds), ("--local-epochs", local_epochs), ("--sites", sites)):
        if value is not None and value < 1:
            raise RecipeError(f"{name} {value}: must be at least 1")
    for what, values in (("--strategy", strategies), ("--seeds", seeds), ("--hold-out", hold_out)):
        if twice := [value for value, n in Counter(values).items() if n > 1]:
            raise RecipeError(f"{what}: {twice[0]} stands there twice")
    if folds < 0 or folds == 1:
        raise RecipeError(f"--folds {folds}: a cross-validation has at least 2")
    if negative := [seed for seed in seeds if seed < 0]:
        raise RecipeError(f"--seeds {negative[0]}: a seed is 0 or more")
    of_task, of_strategy = _assign(settings or {})
    if local_epochs is not None:
        of_strategy["local-epochs"] = local_epochs
    if ExperimentFolder(out).results.exists() and not resume:
        raise DataError(f"{out}: holds results already; add --resume, or choose another --out")
    loaded = loader.load(TaskRecipe, task, of_task)
    if data is None and loaded.phantom is None:
        raise DataError(f"task {loaded.name} has no built-in phantom: name its images with --data")
    if initial is not None:
        load_initial_model(initial, make_model(loaded, seed=0), loaded)  # now, not in every run
    recipes = tuple(
        loader.load(StrategyRecipe, name, {**_fitting(of_strategy, name, strategies), **variant})
        for name in strategies
        for variant in _variants(name, intervals)
    )
    if twice := [name for name, n in Counter(r.name for r in recipes).items() if n > 1]:
        raise RecipeError(f"--strategy: two recipes are named {twice[0]}; rename one")
    plan = Plan(
        task=loaded,
        strategies=recipes,
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
    if loaded.phantom is not None and data is None:
        plan.check_quorum((sites or loaded.phantom.sites) - len(plan.hold_out))
    return plan


def _variants(strategy: str, intervals: Sequence[int]) -> list[dict[str, Any]]:
    """A strategy as it is, or once with every number of local epochs and a name of its own."""
    stem = Path(strategy).stem
    return [{"local-epochs": e, "name": f"{stem}-e{e}"} for e in intervals] or [{}]


def _fitting(
    settings: Mapping[str, Any], strategy: str, strategies: Sequence[str]
) -> dict[str, Any]:
    """Those that are for this strategy: ``tailoring.epochs`` is for those that tailor."""

    def takes(name: str, key: str) -> bool:
        return "." not in key or loader.has_section(loader.load(StrategyRecipe, name), key)

    for key in settings:
        if not any(takes(name, key) for name in strategies):
            section = key.partition(".")[0]
            raise RecipeError(f"--set {key}: none of the strategies has a section {section}")
    return {key: value for key, value in settings.items() if takes(strategy, key)}


def _assign(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Each dotted key to the kind of recipe that has its first word."""
    of_task, of_strategy = {}, {}
    for key, value in settings.items():
        if loader.has_key(TaskRecipe, key):
            of_task[key] = value
        elif loader.has_key(StrategyRecipe, key):
            of_strategy[key] = value
        else:
            raise RecipeError(f"--set {key}: no task or strategy recipe has this key")
    return of_task, of_strategy
