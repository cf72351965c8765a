"""Real X-rays of three hospitals and real CT through the product's own path to the network."""

from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from flwr.common import NDArrays, Scalar

from ucadi_flwr.comparison.warnings import _one_site_classes
from ucadi_flwr.data.dataset import training_set
from ucadi_flwr.data.manifest import PARTS, Case, read_manifest
from ucadi_flwr.data.prepare import prepare
from ucadi_flwr.data.sites import Site, open_sites
from ucadi_flwr.data.transforms import read_ct, transform_for_testing
from ucadi_flwr.models.factory import make_model
from ucadi_flwr.models.state import read_state
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.results.experiment import Results, SiteData, TaskRef
from ucadi_flwr.simulation.environment import describe_environment
from ucadi_flwr.site.client import SiteClient

pytestmark = pytest.mark.real_data


def test_the_x_rays_of_three_hospitals_are_split_by_patient(real_data: Path) -> None:
    task = loader.load(TaskRecipe, "xray-pneumonia2")
    sites = open_sites(real_data / "xray_multisite", task)
    totals = {name: sum(len(site.parts[p]) for p in PARTS) for name, site in sites.items()}
    assert totals == {"guangzhou": 2740, "hannover": 243, "nih": 999}
    for site in sites.values():
        train, test = ({c.patient for c in site.parts[p]} for p in ("train", "test"))
        assert train.isdisjoint(test)
        assert len(test) == pytest.approx(0.2 * (len(train) + len(test)), abs=2)
    assert set(sites["hannover"].labels("train")) == {1}  # covid counts as pneumonia


def test_only_one_hospital_has_cases_of_covid(real_data: Path) -> None:
    """S2: a classifier of COVID-19 may only recognise the hospital here; the report warns of it."""
    task = loader.load(TaskRecipe, "xray-covid3")
    sites = open_sites(real_data / "xray_multisite", task)
    classes = {
        name: {task.classes[label] for part in PARTS for label in site.labels(part)}
        for name, site in sites.items()
    }
    both = {"normal", "pneumonia"}
    assert classes == {"guangzhou": both, "nih": both, "hannover": {"covid"}}
    results = experiment_of(task, sites)
    (warning,) = _one_site_classes(results)
    assert warning.startswith("class covid occurs at site hannover only")


def experiment_of(task: TaskRecipe, sites: dict[str, Site]) -> Results:
    """An experiment that has not run."""
    reference = TaskRef(
        name=task.name,
        digest="",
        summary=task.summary,
        classes=list(task.classes),
        positive_class=task.positive_class,
        phantom=False,
    )
    data = {
        name: SiteData.model_validate(
            {part: dict(Counter(task.classes[i] for i in site.labels(part))) for part in PARTS}
            | {"train_bytes": 0}
        )
        for name, site in sites.items()
    }
    return Results(
        created="",
        command="",
        task=reference,
        sites=data,
        held_out=[],
        environment=describe_environment(),
        cells=[],
    )


def test_x_rays_reach_the_network_standardised(real_data: Path) -> None:
    task = loader.load(TaskRecipe, "xray-pneumonia2")
    sites = open_sites(real_data / "xray_multisite", task)
    transform = transform_for_testing(task.images)
    for site in sites.values():
        for case in site.parts["test"][:5]:
            image = transform({"image": str(case.path), "name": case.name})["image"]
            assert image.shape == (1, 1, 64, 64)
            assert float(image.mean()) == pytest.approx(0, abs=1e-4)
            assert float(image.std()) == pytest.approx(1, abs=1e-2)


def test_lidc_keeps_its_hu_and_goes_through_s0_s_transforms(real_data: Path) -> None:
    path = real_data / "ct_lidc_nifti" / "LIDC-IDRI-0001.nii.gz"
    volume = read_ct(path)
    stored = np.asarray(nibabel.load(path).dataobj)
    assert volume.shape == (1, 133, 512, 512)
    assert np.array_equal(np.sort(volume.numpy(), axis=None), np.sort(stored, axis=None))
    assert float(volume.min()) == -2048.0  # padding outside the reconstruction circle
    images = loader.load(TaskRecipe, "ct-covid4").images
    samples = transform_for_testing(images)({"image": str(path), "name": "lidc"})["image"]
    assert samples.shape == (5, 1, 16, 128, 128)
    low, high = ((hu + 604.2288900583559) / 489.42172740885655 for hu in (-1200, 600))
    assert float(samples.min()) >= low - 1e-5
    assert float(samples.max()) <= high + 1e-5
    assert len({float(sample.mean()) for sample in samples}) > 1  # five different samples


def test_the_full_size_model_trains_a_step_on_real_ct(real_data: Path, tmp_path: Path) -> None:
    """A site of one series from ``ucadi prepare`` and the LIDC scan, with artificial labels."""
    prepare(real_data / "ct_lung_dx_dicom", tmp_path / "site")
    manifest = tmp_path / "site" / "manifest.csv"
    name = manifest.read_text(encoding="utf-8").splitlines()[1].split(",")[0]
    manifest.write_text(f"name,label,patient,split\n{name},healthy,p1,train\n", encoding="utf-8")
    task = loader.load(TaskRecipe, "ct-covid4")
    cases = read_manifest(tmp_path / "site", task.class_of)
    lidc = real_data / "ct_lidc_nifti" / "LIDC-IDRI-0001.nii.gz"
    cases.append(Case("lidc", lidc, "covid-19", "lidc", "site", "train"))
    site = Site("site", {"train": cases, "validation": [], "test": []}, task.class_of)
    client = SiteClient(task, loader.load(StrategyRecipe, "fedavg"), site, cache=tmp_path / "cache")
    before = read_state(make_model(task, seed=0))
    assert sum(p.numel() for p in make_model(task, seed=0).parameters()) == 726_972
    arrays: NDArrays = list(before.values())
    config: dict[str, Scalar] = {"server-round": 1, "rounds": 100, "seed": 0}
    after, examples, metrics = client.fit(arrays, config)
    assert examples == 2
    assert 0 < float(metrics["loss"]) < 10
    for old, new in zip(arrays, after, strict=True):
        assert np.isfinite(new).all()
        assert new.ndim == 1 or not np.array_equal(old, new)
    cached = training_set(site, task, tmp_path / "cache", seed=0)
    assert torch.isfinite(cached[0]["image"]).all()
