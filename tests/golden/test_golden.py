"""The same seed gives the same model as when the golden runs were made (see golden.py)."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden", Path(__file__).with_name("golden.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["golden"] = module
    spec.loader.exec_module(module)
    return module


golden = _load()
EXPECTED = json.loads(golden.FILE.read_text(encoding="utf-8"))


def test_every_strategy_has_a_golden_run() -> None:
    assert sorted(EXPECTED["runs"]) == golden.STRATEGIES


@pytest.mark.parametrize("strategy", golden.STRATEGIES)
def test_a_strategy_ends_at_its_golden_model(strategy: str, tmp_path: Path) -> None:
    expected = EXPECTED["runs"][strategy]
    played = golden.play(strategy, tmp_path / strategy)
    assert played["rounds"] == expected["rounds"]
    assert played["models"].keys() == expected["models"].keys()
    for name, model in played["models"].items():
        wanted = expected["models"][name]
        if expected["exact"] and golden.machine() == EXPECTED["machine"]:
            assert model["sha256"] == wanted["sha256"], f"{name} has other bits"
        assert model["moments"].keys() == wanted["moments"].keys()
        for tensor, moments in model["moments"].items():
            np.testing.assert_allclose(
                moments, wanted["moments"][tensor], atol=golden.TOLERANCE, err_msg=tensor
            )
