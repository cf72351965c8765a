"""History, memory, records and sealed files, each by itself."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from helpers import tiny
from safetensors.numpy import save_file

from ucadi_flwr.aggregation.optimizers import Moments
from ucadi_flwr.errors import DataError, FederationError, ProtectionError
from ucadi_flwr.exchange import sealed_run, wire
from ucadi_flwr.exchange.agreement import Agreement
from ucadi_flwr.exchange.global_model import GlobalModel
from ucadi_flwr.models.factory import make_model
from ucadi_flwr.models.state import read_state
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.server import cost_estimate as preflight
from ucadi_flwr.server.served_models import History
from ucadi_flwr.site.memory import RUNS_WITH_MODELS, SiteMemory

START = {"w": np.zeros(2, np.float32)}


def test_a_memoryless_history_sends_the_newest_sum_and_keeps_one_behind() -> None:
    history = History(wire.array_record(START), whole=False)
    assert set(history.since(None)) == {"initial"}
    for number in range(1, 4):
        history.add(f"{number}.0", bytes([number]))
    for opened in (None, 0, 2):
        assert wire.blobs(RecordDict({**history.since(opened)}), "sums") == {"3.0": b"\3"}
        assert "initial" not in history.since(opened)
    assert list(history.sums) == ["2.0", "3.0"]
    assert history.revert() == (3, 2)
    assert history.newest == {"2.0": b"\2"}


def test_a_whole_history_sends_what_a_site_lacks() -> None:
    history = History(wire.array_record(START), whole=True)
    for number in range(1, 12):
        history.add(f"{number}.0", bytes([number]))
    assert list(history.since(9)["sums"]) == ["10.0", "11.0"]
    assert "initial" not in history.since(9)
    assert len(history.since(None)["sums"]) == 11
    assert "initial" in history.since(None)
    assert history.revert() == (11, 10)
    assert len(history.newest) == 10


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


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (Array(np.zeros(3, np.int64)), "holds int64 .3,., expected bytes"),
        (Array(np.zeros((2, 2), np.uint8)), "holds uint8 .2, 2., expected bytes"),
        (Array("uint8", (3,), "numpy.ndarray", b""), "cannot be read"),
        (Array("uint8", (3,), "pickle", b"x"), "cannot be read"),
    ],
)
def test_records_that_are_no_bytes_are_refused(array: Array, message: str) -> None:
    content = RecordDict({"sealed": ArrayRecord({"model": array})})
    with pytest.raises(FederationError, match=message):
        wire.blobs(content, "sealed")
    with pytest.raises(FederationError, match="lacks its 'sealed' part 'model'"):
        wire.blob(RecordDict({"config": ConfigRecord()}), "sealed", "model")


@pytest.fixture
def task(tmp_path: Path) -> TaskRecipe:
    return loader.load(TaskRecipe, str(tiny.write_task(tmp_path)))


def test_sealed_files_that_are_none_are_one_line(tmp_path: Path, task: TaskRecipe) -> None:
    recipe, key = loader.load(StrategyRecipe, "ucadi"), SiteKey.create("bfv")
    path = tmp_path / sealed_run.FILE

    def refused(message: str, used: StrategyRecipe = recipe) -> None:
        with pytest.raises(DataError, match=message):
            sealed_run.open_sealed(path, task, used, key)

    refused("name the folder of a run")
    path.write_bytes(os.urandom(100))
    refused("damaged, or no sealed run")
    save_file({"x": np.zeros(1, np.uint8)}, path)
    refused("this is no sealed run")
    shapes = {n: v.shape for n, v in read_state(make_model(task, 0)).items()}
    agreement = Agreement(recipe, "run", shapes, 2)
    sealed_run.write_sealed(tmp_path, agreement, task, {}, {"1.0": b"x" * 100}, {})
    refused("another strategy recipe than fedavg", loader.load(StrategyRecipe, "fedavg"))
    with pytest.raises(ProtectionError, match=r"too few for a protected|not a protected message"):
        sealed_run.open_sealed(path, task, recipe, key)
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    refused("damaged, or no sealed run")


def test_a_large_sealed_file_is_not_read(
    tmp_path: Path, task: TaskRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed_run, "SEALED_RUN_BYTES", 10)
    (tmp_path / sealed_run.FILE).write_bytes(bytes(11))
    recipe, key = loader.load(StrategyRecipe, "ucadi"), SiteKey.create("bfv")
    with pytest.raises(DataError, match="larger than 10 bytes"):
        sealed_run.open_sealed(tmp_path / sealed_run.FILE, task, recipe, key)


@pytest.mark.parametrize(
    ("strategy", "settings", "wanted"),
    [
        ("fedavg", {}, ["0.04 MB up and 0.04 MB down", "(none)", "0 MB of memory"]),
        ("ucadi", {}, ["0.06 MB up and 0.12 MB down", "(bfv)"]),
        ("fedavg-ckks", {}, ["0.32 MB up and 0.64 MB down", "(ckks)"]),
    ],
)
def test_the_preflight_line_tells_bytes_seconds_and_memory(
    strategy: str, settings: dict[str, Any], wanted: list[str]
) -> None:
    recipe = loader.load(StrategyRecipe, strategy, settings)
    agreement = Agreement(recipe, "run", {"w": (100, 100)}, 2)
    line = preflight.measure(agreement, sites=3)
    assert all(part in line for part in wanted), line
    assert "to transmit" not in line
    timed = preflight.measure(agreement, sites=3, bandwidth=900_000)
    assert "at 900 KB/s" in timed
    assert "(0.1 s without encryption)" in timed
