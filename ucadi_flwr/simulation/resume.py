"""Resuming a grid that was stopped: the finished cells are kept."""

from ucadi_flwr.errors import DataError
from ucadi_flwr.recipes import loader
from ucadi_flwr.results.experiment import Cell, Results, read_results
from ucadi_flwr.simulation.plan import ExperimentPlan


def finished_cells(plan: ExperimentPlan, expected: Results) -> dict[tuple[str, int], Cell]:
    """(strategy, seed) → the cell that ``plan.out`` holds already, without those that failed.

    Args:
        plan: the experiment.
        expected: the results of this plan, without cells.

    Raises :class:`DataError` if the folder holds another task, other images or other recipes.
    """
    path = plan.folder.results
    if not path.exists():
        return {}
    stored = read_results(path)
    if stored.task != expected.task:
        raise DataError(
            f"{path}: task {stored.task.name} was another recipe then; use another --out"
        )
    if _cases(stored) != _cases(expected):
        raise DataError(f"{path}: has results of other images or another split; use another --out")
    digests = {strategy.name: loader.digest(strategy) for strategy in plan.strategies}
    rounds = {strategy.name: plan.rounds_of(strategy) for strategy in plan.strategies}
    kept = {}
    for cell in stored.cells:
        name = cell.strategy.name
        if (name, cell.seed) not in _wanted(plan):
            raise DataError(
                f"{path}: holds {name} with seed {cell.seed} too; name every strategy and seed "
                "that it holds (more are allowed), or use another --out"
            )
        if cell.error is not None:
            continue
        if cell.strategy.digest != digests[name] or len(cell.rounds) != rounds[name]:
            raise DataError(
                f"{path}: strategy {name} was another recipe then, or had {len(cell.rounds)} "
                "rounds; use another --out"
            )
        if len({fold.fold for fold in cell.folds}) != plan.folds:
            raise DataError(f"{path}: has results of other --folds; use another --out")
        kept[name, cell.seed] = cell
    return kept


def _cases(results: Results) -> list[object]:
    """Cases by site, part and class, and the sites that were held out."""
    sites = {n: (site.train, site.validation, site.test) for n, site in results.sites.items()}
    return [sites, results.held_out]


def _wanted(plan: ExperimentPlan) -> set[tuple[str, int]]:
    return {(strategy.name, seed) for strategy, seed in plan.grid}
