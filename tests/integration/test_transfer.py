"""S2 on pictures: VGG16, its convolutions frozen, rarer classes drawn again, another hospital."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.federation import Config, model, run
from PIL import Image
from safetensors.numpy import load_file

TASK = """\
schema_version: 1
name: pictures
summary: Which third of a picture is bright.
classes: [top, middle, bottom]
positive-class: top
model: {name: vgg16, width: 1}
images: {kind: grey-image, size: [32, 32]}
split: {test: 0.25}
training:
  epochs: 2
  batch-size: 4
  learning-rate: 0.05
  warmup: 0.1
"""
BALANCE = """\
  balance: {rates: equal, transforms: [{name: RandGaussianNoise, args: {prob: 1.0, std: 0.1}}]}
"""

pytestmark = pytest.mark.usefixtures("no_pauses")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sites; the third has few bottoms."""
    root = tmp_path_factory.mktemp("pictures")
    for number, (site, sizes) in enumerate(
        {"a": (6, 6, 6), "b": (4, 4, 4), "c": (12, 6, 3)}.items()
    ):
        rng, lines = np.random.default_rng(number), ["name,label,patient"]
        (root / site / "images").mkdir(parents=True)
        for third, (label, size) in enumerate(zip(("top", "middle", "bottom"), sizes, strict=True)):
            for i in range(size):
                values = rng.integers(0, 100, (36, 36))
                values[12 * third : 12 * third + 12] += 100
                name = f"{label}{i}"
                Image.fromarray(values.astype(np.uint8)).save(root / site / f"images/{name}.png")
                lines.append(f"{name},{label},{site}-{name}")
        (root / site / "manifest.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def task(tmp_path: Path) -> Path:
    path = tmp_path / "pictures.yaml"
    path.write_text(TASK)
    return path


def test_the_last_two_dense_layers_are_retrained(
    config: Config, pictures: Path, task: Path
) -> None:
    frozen = "tailoring: {epochs: 2, fine-tune: head, alignment: {mu: 1.0, decay: linear}}"
    made = config("frozen", recipe=frozen, task=str(task), data=str(pictures), rounds=1)
    result, _ = run(made)
    shared = model(made)
    mine = load_file(made.own_models / "b.safetensors")
    changed = {name for name in shared if shared[name].tobytes() != mine[name].tobytes()}
    assert changed == {f"classifier.{n}.{part}" for n in (3, 6) for part in ("weight", "bias")}
    assert {site: t["n"] for site, t in result["models"][0]["test"].items()} == {
        "a": 6,
        "b": 3,
        "c": 6,
    }


def test_a_site_with_one_class_tests_the_shared_model(
    config: Config, pictures: Path, task: Path, tmp_path: Path
) -> None:
    """Tailored to one class, it would call everything that."""
    task.write_text(TASK + "one-class-sites: allow\n")
    root = tmp_path / "pictures"
    shutil.copytree(pictures, root)
    manifest = root / "b" / "manifest.csv"
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join([lines[0], *(x for x in lines if ",top," in x)]) + "\n")
    made = config("ftl", task=str(task), data=str(root), rounds=1, name="ftl")
    plain = config(task=str(task), data=str(root), rounds=1, name="plain")
    run(made)
    run(plain)
    assert {p.stem for p in made.own_models.glob("*.safetensors")} == {"a", "c"}
    there, back = (c.cell / "predictions" / "all" / "b.csv" for c in (made, plain))
    assert there.read_bytes() == back.read_bytes()


def test_balance_changes_the_model_and_no_weight(
    config: Config, pictures: Path, task: Path
) -> None:
    plain = config(task=str(task), data=str(pictures), rounds=1, name="plain")
    before, _ = run(plain)
    task.write_text(TASK + BALANCE)
    balanced = config(task=str(task), data=str(pictures), rounds=1, name="balanced")
    after, _ = run(balanced)
    again = config(task=str(task), data=str(pictures), rounds=1, name="again")
    run(again)

    def sizes(result: dict[str, list[dict[str, dict[str, dict[str, int]]]]]) -> dict[str, int]:
        return {site: r["examples"] for site, r in result["rounds"][0]["sites"].items()}

    assert sizes(before) == sizes(after)
    assert any(model(plain)[n].tobytes() != model(balanced)[n].tobytes() for n in model(plain))
    assert all(model(again)[n].tobytes() == model(balanced)[n].tobytes() for n in model(again))
