"""Which recipes ``--set`` changes."""

from pathlib import Path

import pytest
from helpers import tiny

from ucadi_flwr.errors import RecipeError
from ucadi_flwr.simulation.plan import ExperimentPlan, make_plan


def plan_with(folder: Path, strategies: list[str], **settings: object) -> ExperimentPlan:
    """A plan; ``tailoring__epochs=9`` is ``--set tailoring.epochs=9``."""
    changes = {key.replace("__", ".").replace("_", "-"): v for key, v in settings.items()}
    task = str(tiny.write_task(folder))
    return make_plan(task, strategies, seeds=[0], out=folder / "out", data=folder, settings=changes)


def test_a_key_in_a_section_is_for_the_strategies_that_have_it(tmp_path: Path) -> None:
    """Else FedAvg, which personalised models are compared with, would be personalised itself."""
    plan = plan_with(tmp_path, ["fedavg", "ftl"], tailoring__epochs=9, round_timeout=7.0)
    fedavg, ftl = plan.strategies
    assert fedavg.personalisation is None
    assert ftl.personalisation is not None
    assert (ftl.personalisation.epochs, ftl.personalisation.fine_tune) == (9, "all")
    assert fedavg.round_timeout == ftl.round_timeout == 7.0
    same = plan_with(tmp_path, ["fedavg", "ftl"], personalisation__epochs=9, round_timeout=7.0)
    assert same.strategies == plan.strategies


def test_a_section_that_no_strategy_has_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="none of the strategies has a section tailoring"):
        plan_with(tmp_path, ["fedavg", "fedbn"], tailoring__epochs=9)
    plan = plan_with(tmp_path, ["fedavg"], tailoring={"epochs": 9})
    assert plan.strategies[0].personalisation is not None
