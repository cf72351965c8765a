"""What ``--set`` reaches."""

from pathlib import Path

import pytest
from helpers import tiny

from ucadi_flwr.errors import RecipeError
from ucadi_flwr.simulation.experiment import Plan, make_plan


def plan(folder: Path, strategies: list[str], **settings: object) -> Plan:
    changes = {key.replace("__", ".").replace("_", "-"): v for key, v in settings.items()}
    task = str(tiny.write_task(folder))
    return make_plan(task, strategies, seeds=[0], out=folder / "out", data=folder, settings=changes)


def test_a_key_in_a_section_is_for_the_strategies_that_have_it(tmp_path: Path) -> None:
    """Else FedAvg, which the tailored models are compared with, would be tailored itself."""
    made = plan(tmp_path, ["fedavg", "ftl"], tailoring__epochs=9, round_timeout=7.0)
    fedavg, ftl = made.strategies
    assert fedavg.personalisation is None
    assert ftl.personalisation is not None
    assert (ftl.personalisation.epochs, ftl.personalisation.fine_tune) == (9, "all")
    assert fedavg.round_timeout == ftl.round_timeout == 7.0
    same = plan(tmp_path, ["fedavg", "ftl"], personalisation__epochs=9, round_timeout=7.0)
    assert same.strategies == made.strategies


def test_a_section_that_no_strategy_has_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="none of the strategies has a section tailoring"):
        plan(tmp_path, ["fedavg", "fedbn"], tailoring__epochs=9)
    whole = plan(tmp_path, ["fedavg"], tailoring={"epochs": 9})
    assert whole.strategies[0].personalisation is not None
