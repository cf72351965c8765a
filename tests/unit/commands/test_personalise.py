"""``ucadi personalise``: a model is adapted to a hospital outside the federation."""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import tiny
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ucadi_flwr import cli
from ucadi_flwr.models.factory import make_model
from ucadi_flwr.models.files import save_model
from ucadi_flwr.models.state import read_state
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.recipes.task import TaskRecipe

Run = tuple[int, str, str]


class Hospital:
    """A folder with images of one site, a model of other sites, and the command."""

    def __init__(
        self, folder: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder, self.patch, self.capsys = folder, patch, capsys
        self.data = tiny.write_sites(folder / "data", {"north": 16}) / "north"
        self.recipe = tiny.write_task(folder)
        self.task = loader.load(TaskRecipe, str(self.recipe))
        self.out = folder / "own.safetensors"
        save_model(folder, ALL_SITES, read_state(make_model(self.task, 5)), self.task)
        self.model = folder / "model.safetensors"

    def strategy(self, tailoring: str) -> Path:
        path = self.folder / "mine.yaml"
        path.write_text(f"schema_version: 1\nname: mine\nsummary: x\ntailoring: {tailoring}\n")
        return path

    def run(self, **words: object) -> Run:
        options = {"task": self.recipe, "strategy": "ftl", "model": self.model, "data": self.data}
        options |= {"out": self.out, **words}
        line = [w for k, v in options.items() if v is not None for w in (f"--{k}", str(v))]
        self.patch.setattr(sys, "argv", ["ucadi", "personalise", *line])
        code = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = self.capsys.readouterr()
        return code, out, err


@pytest.fixture
def hospital(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Hospital:
    torch.set_num_threads(1)
    return Hospital(tmp_path, monkeypatch, capsys)


def test_it_prints_measures_before_and_after_and_writes_the_changed_model(
    hospital: Hospital,
) -> None:
    strategy = hospital.strategy("{epochs: 5, fine-tune: head, alignment: {mu: 1.0}}")
    code, out, err = hospital.run(strategy=strategy)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("north: 12 cases to train, 4 to test; ")
    assert lines[1].startswith("before: 4 cases, AUC ")
    assert lines[-2].startswith("after: 4 cases, AUC ")
    assert lines[-1] == f"model: {hospital.out}"
    new, old = load_file(hospital.out), load_file(hospital.model)
    assert {n for n in old if not torch.equal(old[n], new[n])} == {"head.weight", "head.bias"}
    with safe_open(hospital.out, framework="numpy") as file:
        assert file.metadata()["own-of"] == "north"
    make_model(hospital.task, 1).load_state_dict(new, strict=True)


def test_it_learns_and_the_same_seed_gives_the_same_model(hospital: Hospital) -> None:
    strategy = hospital.strategy("{epochs: 6, fine-tune: all, learning-rate: 0.1}")
    code, out, _ = hospital.run(strategy=strategy)
    assert code == 0
    before, after = (
        float(line.split("accuracy ")[1].split(" ")[0])
        for line in out.splitlines()
        if "accuracy" in line
    )
    assert after >= before
    again = hospital.folder / "again.safetensors"
    assert hospital.run(strategy=strategy, out=again)[0] == 0
    first, second = load_file(hospital.out), load_file(again)
    assert all(torch.equal(first[n], second[n]) for n in first)


def test_a_checkpoint_of_other_classes_gets_a_new_head(hospital: Hospital) -> None:
    wide = loader.load(TaskRecipe, str(hospital.recipe), {"classes": ["left", "right", "up"]})
    path = hospital.folder / "initial.pth"
    torch.save(make_model(wide, 3).state_dict(), path)
    code, _, err = hospital.run(model=None, initial=path)
    assert code == 0
    assert err == f"warning: head.weight, head.bias are not from {path} but new\n"


def test_a_model_with_local_tensors_is_a_warning(hospital: Hospital) -> None:
    state = read_state(make_model(hospital.task, 5))
    save_model(hospital.folder, ALL_SITES, state, hospital.task, ["head.weight", "head.bias"])
    code, _, err = hospital.run()
    assert code == 0
    assert "2 tensors of" in err
    assert "stayed at the sites" in err


def test_sigterm_leaves_no_images_behind(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("tempfile.tempdir", str(hospital.folder))
    caches: list[Path] = []

    def killed(*_: object, cache: Path, **__: object) -> float:
        caches.append(cache)
        assert any(path.is_file() for path in cache.rglob("*"))
        os.kill(os.getpid(), signal.SIGTERM)
        return 0.0

    monkeypatch.setattr("ucadi_flwr.site.personalisation.personalise", killed)
    try:
        assert hospital.run()[0] == 128 + signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, former)
    assert not caches[0].exists()
    assert not hospital.out.exists()


def relabel(hospital: Hospital, old: str, new: str) -> None:
    path = hospital.data / "manifest.csv"
    path.write_text(path.read_text().replace(f",{old},", f",{new},"))


def test_a_class_that_is_missing_is_a_warning(hospital: Hospital) -> None:
    text = hospital.recipe.read_text().replace("[left, right]", "[left, right, up]")
    hospital.recipe.write_text(text)
    task = loader.load(TaskRecipe, str(hospital.recipe))
    save_model(hospital.folder, ALL_SITES, read_state(make_model(task, 5)), task)
    code, _, err = hospital.run()
    assert code == 0
    assert err.startswith("warning: ")
    assert "no training case of up" in err
    assert err.count("\n") == 1


def wrong_shape(hospital: Hospital) -> None:
    state = load_file(hospital.model)
    state["head.weight"] = torch.zeros(3, state["head.weight"].shape[1])
    metadata = {"classes": json.dumps(["left", "right"])}
    save_file(state, hospital.model, metadata)


def other_classes(hospital: Hospital) -> None:
    task = loader.load(TaskRecipe, str(hospital.recipe), {"classes": ["right", "left"]})
    save_model(hospital.folder, ALL_SITES, read_state(make_model(task, 5)), task)


def one_class(hospital: Hospital) -> None:
    hospital.recipe.write_text(hospital.recipe.read_text() + "one-class-sites: allow\n")
    relabel(hospital, "left", "right")


def no_metadata(hospital: Hospital) -> None:
    save_file(load_file(hospital.model), hospital.model)


def invalid_metadata(hospital: Hospital) -> None:
    save_file(load_file(hospital.model), hospital.model, {"classes": "[1, "})


def two_sites(hospital: Hospital) -> None:
    tiny.write_sites(hospital.data.parent, {"south": 8})


def not_finite(hospital: Hospital) -> None:
    state = load_file(hospital.model)
    state["head.bias"] = torch.full_like(state["head.bias"], np.nan)
    save_file(state, hospital.model, {"classes": json.dumps(["left", "right"])})


WRONG = {
    "shapes": (wrong_shape, {}, "tensor 'head.weight' is (3, "),
    "classes": (other_classes, {}, "distinguishes right, left, and task tiny left, right"),
    "no metadata": (no_metadata, {}, "does not say which classes"),
    "invalid metadata": (invalid_metadata, {}, "its classes are no JSON list of names"),
    "not finite": (not_finite, {}, "not finite"),
    "one class": (one_class, {}, "its training cases are all right"),
    "two sites": (two_sites, {"data": ".."}, "has 2 sites (north, south); name one's folder"),
    "layer": (None, {"strategy": "{epochs: 1, fine-tune: from fc}"}, "no such layer; it has"),
    "no tailoring": (None, {"strategy": "fedavg"}, "has no section tailoring; choose ftl"),
    "no weights": (None, {"model": None}, "one of --model and --initial"),
    "no such file": (None, {"model": "gone.safetensors"}, "no such file"),
    "suffix": (None, {"out": "own.pth"}, "is a .safetensors file"),
    "exists": (None, {"out": "model.safetensors"}, "it is not overwritten"),
}


@pytest.mark.parametrize(("change", "words", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_work_is_one_line(
    hospital: Hospital, change: object, words: dict[str, object], message: str
) -> None:
    if callable(change):
        change(hospital)
    options = dict(words)
    if str(options.get("strategy", "")).startswith("{"):
        options["strategy"] = hospital.strategy(str(options["strategy"]))
    for key in ("model", "out"):
        if options.get(key):
            options[key] = hospital.folder / str(options[key])
    if options.get("data") == "..":
        options["data"] = hospital.data.parent
    code, out, err = hospital.run(**options)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
    assert not hospital.out.exists()
