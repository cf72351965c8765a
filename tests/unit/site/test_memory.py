"""What a site remembers of a run between messages."""

import os
from pathlib import Path

import numpy as np
import pytest

from ucadi_flwr.aggregation.optimizers import Moments
from ucadi_flwr.errors import DataError, FederationError, ProtectionError
from ucadi_flwr.exchange.global_model import GlobalModel
from ucadi_flwr.site.memory import RUNS_WITH_MODELS, SiteMemory


def test_memory_is_of_one_run_and_only_goes_forward(tmp_path: Path) -> None:
    memory = SiteMemory(tmp_path, "aa")
    memory.seal_once("model", "2.0")
    memory.seal_once("model", "2.1")
    memory.seal_once("weights", "1.0")
    for name in ("2.1", "2.0", "1.5"):
        with pytest.raises(ProtectionError, match="a site does not go back"):
            SiteMemory(tmp_path, "aa").seal_once("model", name)
    memory.weight = 7
    arrays = {"w": np.ones(2, np.float32)}
    memory.keep(GlobalModel(2, arrays, Moments(first=arrays)))
    again = SiteMemory(tmp_path, "aa")
    known = again.model()
    assert again.weight == 7
    assert known is not None
    assert (known.round, known.moments.second) == (2, {})
    assert (known.moments.first["w"] == arrays["w"]).all()
    other = SiteMemory(tmp_path, "bb")
    other.seal_once("model", "1.0")
    assert (other.weight, other.model()) == (0, None)
    assert SiteMemory(tmp_path, "aa").weight == 7  # the other run did not touch it


def test_memory_is_bounded_and_its_folder_is_not_the_server_s_to_choose(tmp_path: Path) -> None:
    for number in range(6):
        memory = SiteMemory(tmp_path, f"{number:02x}")
        memory.keep(GlobalModel(number, {"w": np.ones(2, np.float32)}))
        memory.keep(GlobalModel(number + 1, {"w": np.ones(2, np.float32)}))
        memory.weight = 1
        os.utime(memory.folder / "memory.json", (number, number))
    assert len(list(tmp_path.rglob("*.safetensors"))) == RUNS_WITH_MODELS
    assert len(list(tmp_path.rglob("memory.json"))) == 6
    assert SiteMemory(tmp_path, "00").model() is None
    for run in ("../up", "", "AA", "a/b"):
        with pytest.raises(FederationError, match="no number of a run"):
            SiteMemory(tmp_path, run)
    (tmp_path / "05" / "memory.json").write_text("{")
    with pytest.raises(DataError, match="damaged; delete the folder"):
        SiteMemory(tmp_path, "05")
