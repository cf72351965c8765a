"""Checkpoints and folders that a run must not continue from."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.federation import Config, Value, play, run
from helpers.killed_run import configure, kill, resume
from helpers.loopback_grid import LoopbackGrid

from ucadi_flwr.client_app import app
from ucadi_flwr.errors import FederationError
from ucadi_flwr.files.locks import held
from ucadi_flwr.protection.keys import SiteKey

pytestmark = pytest.mark.usefixtures("no_pauses")


def test_a_run_that_did_not_finish_is_not_overwritten(config: Config) -> None:
    broken = configure(config, "fedavg")
    kill(broken, "train", "3")
    with pytest.raises(FederationError, match="a run did not finish here; resume it"):
        run(broken)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def edit(path: Path) -> None:
    path.write_text(path.read_text().replace('"examples": 12', '"examples": 13'))


@pytest.mark.parametrize(
    ("damage", "pattern", "reason"),
    [
        (cut, "round-*.json", "truncated, or no checkpoint; delete it to go back a round"),
        (edit, "round-*.json", "altered; delete it to go back a round"),
        (cut, "[0-9a-f]" * 64, "truncated or altered"),
        (Path.unlink, "[0-9a-f]" * 64, "No such file"),
        (lambda p: p.write_text("[]"), "round-*.json", "no checkpoint"),
        (lambda p: p.write_text('{"checkpoint": {}, "sha256": 3}'), "round-*.json", "altered"),
    ],
)
def test_a_damaged_checkpoint_is_refused(
    config: Config, damage: Callable[[Path], object], pattern: str, reason: str
) -> None:
    broken = configure(config, "fedavg")
    kill(broken, "train", "3")
    for path in (broken.server / "checkpoints").glob(pattern):
        damage(path)
    with pytest.raises(FederationError, match=reason):
        resume(broken)


@pytest.mark.parametrize(
    ("change", "what"),
    [({"seed": 1}, "initial and seed"), ({"rounds": 5}, "rounds"), ({"key": ""}, "key id")],
)
def test_another_run_s_checkpoint_is_refused(
    config: Config, change: dict[str, Value], what: str, tmp_path: Path
) -> None:
    broken = configure(config, "ucadi")
    kill(broken, "train", "3")
    if "key" in change:
        other = SiteKey.create("bfv")
        other.context.save(tmp_path / "other.context")
        change = {"context": str(tmp_path / "other.context")}
    with pytest.raises(FederationError, match=rf"is of another run \({what} differ\)"):
        resume(broken.changed(**change))


def test_a_recipe_that_changed_is_refused(config: Config) -> None:
    broken = config("mine", recipe="min-sites: 2", rounds=4)
    kill(broken, "train", "3")
    changed = config("mine", recipe="min-sites: 1", rounds=4)
    with pytest.raises(FederationError, match=r"is of another run \(strategy differ\)"):
        resume(changed)


def test_the_ledger_holds_sizes_only_if_weights_are_public(config: Config) -> None:
    for strategy, public in (("fedavg", True), ("ucadi", False)):
        broken = configure(config, strategy, name=strategy)
        kill(broken, "train", "3")
        stored = json.loads((broken.server / "checkpoints" / "round-00002.json").read_text())
        ledger = stored["checkpoint"]["ledger"]
        assert [sorted(record["sites"]) for record in ledger] == [["a", "b", "c"]] * 2
        sizes = [site["examples"] for record in ledger for site in record["sites"].values()]
        assert (sizes == [12, 6, 18] * 2) if public else (set(sizes) == {None})


def test_two_processes_do_not_serve_one_run(config: Config) -> None:
    run_config = configure(config, "fedavg")
    run_config.server.mkdir(parents=True)
    refused = pytest.raises(FederationError, match="another process is working there; wait")
    with held(run_config.server, "x"), refused, held(run_config.server, "wait"):
        pass
    with held(run_config.server, "x"):
        pass
    play(LoopbackGrid(app, run_config.values, nodes=3), run_config)
