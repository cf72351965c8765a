"""Going on with a grid that was stopped: the runs that are finished are kept."""

from ucadi_flwr.errors import DataError
from ucadi_flwr.recipes import loader
from ucadi_flwr.results.experiment import Cell, Results, read_results
from ucadi_flwr.simulation.experiment import Plan


def finished_cells(plan: Plan, expected: Results) -> dict[tuple[str, int], Cell]:
    """(strategy, seed) → the run that ``plan.out`` holds already, without those that failed.

    ``expected`` is what an empty experiment of this plan looks like. Raises :class:`DataError` if
    the folder holds another task, other images or other recipes.
    """
    path = plan.folder.results
    if not path.exists():
        return {}
    found = read_results(path)
    if found.task != expected.task:
        raise DataError(f"{path}: is of task {found.task.name} as it was then; use another --out")
    if _cases(found) != _cases(expected):
        raise DataError(f"{path}: was run on other images or another split; use another --out")
    digests = {strategy.name: loader.digest(strategy) for strategy in plan.strategies}
    rounds = {strategy.name: plan.rounds_of(strategy) for strategy in plan.strategies}
    kept = {}
    for cell in found.cells:
        name = cell.strategy.name
        if (name, cell.seed) not in _wanted(plan):
            raise DataError(
                f"{path}: holds {name} with seed {cell.seed} too; name all that it holds, and more "
                "if you like, or use another --out"
            )
        if cell.error is not None:
            continue
        if cell.strategy.digest != digests[name] or len(cell.rounds) != rounds[name]:
            raise DataError(
                f"{path}: strategy {name} was another recipe then, or had {len(cell.rounds)} "
                "rounds; use another --out"
            )
        if len({fold.fold for fold in cell.folds}) != plan.folds:
            raise DataError(f"{path}: was run with other --folds; use another --out")
        kept[name, cell.seed] = cell
    return kept


def _cases(results: Results) -> list[object]:
    """Who has how many cases of what, and who was held out."""
    sites = {n: (site.train, site.validation, site.test) for n, site in results.sites.items()}
    return [sites, results.held_out]


def _wanted(plan: Plan) -> set[tuple[str, int]]:
    return {(strategy.name, seed) for strategy, seed in plan.grid}
