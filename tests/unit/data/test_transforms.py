"""From files to tensors: S0's order, orientation, caching, and files that are broken."""

import gzip
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from helpers import dicom_factory
from PIL import Image

from ucadi_flwr.data.dataset import make_dataset
from ucadi_flwr.data.dicom import read_volume
from ucadi_flwr.data.manifest import Case
from ucadi_flwr.data.sampling import take_slices
from ucadi_flwr.data.transforms import (
    random_transform,
    read_ct,
    read_grey,
    transform_for_testing,
    transform_for_training,
)
from ucadi_flwr.errors import DataError, RecipeError
from ucadi_flwr.recipes.task import Augmentation, CtVolume, GreyImage

CT = CtVolume(kind="ct-volume", size=(16, 32, 32), **{"test-samples": 3})
GREY = GreyImage(kind="grey-image", size=(16, 24))


def write_nifti(path: Path, hu: np.ndarray, affine: np.ndarray | None = None) -> Path:
    """``hu`` is (x, y, z)."""
    nib.save(nib.Nifti1Image(hu, np.diag([1.0, 1, 5, 1]) if affine is None else affine), path)
    return path


def case(path: Path) -> Case:
    return Case(name=path.name, path=path, label="a", patient="p", site="s", split=None)


def test_every_orientation_reads_the_same(tmp_path: Path) -> None:
    hu = np.random.default_rng(0).integers(-1000, 500, (6, 7, 8)).astype(np.int16)
    straight = read_ct(write_nifti(tmp_path / "ras.nii.gz", hu))
    assert straight.shape == (1, 8, 7, 6)
    # RAS → slices to the head, rows to posterior, columns to the left
    assert float(straight[0, 2, 0, 0]) == hu[-1, -1, 2]
    flipped = np.diag([-1.0, -1, 5, 1])
    flipped[:2, 3] = 5, 6
    same = read_ct(write_nifti(tmp_path / "lps.nii.gz", hu[::-1, ::-1].copy(), flipped))
    assert torch.equal(straight, same)
    turned = np.array([[0, 0, 1.0, 0], [1, 0, 0, 0], [0, 5, 0, 0], [0, 0, 0, 1]])
    other = read_ct(write_nifti(tmp_path / "t.nii", hu.transpose(1, 2, 0).copy(), turned))
    assert torch.equal(straight, other)


def test_scaling_of_the_header_is_applied(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.full((4, 4, 4), 10, np.int16), np.eye(4))
    image.header.set_slope_inter(2.0, -1024.0)
    nib.save(image, tmp_path / "scaled.nii.gz")
    raw = nib.load(tmp_path / "scaled.nii.gz")
    assert (
        read_ct(tmp_path / "scaled.nii.gz").unique().tolist() == np.unique(raw.get_fdata()).tolist()
    )


def test_a_dicom_folder_reads_like_its_nifti(tmp_path: Path) -> None:
    folder = tmp_path / "series"
    dicom_factory.write_series(folder)
    volume = read_volume(folder)
    nifti = write_nifti(tmp_path / "a.nii.gz", volume.hu.T, volume.affine)
    assert torch.equal(read_ct(folder), read_ct(nifti))


def test_s0_s_order_window_zscore_sample_resize(tmp_path: Path) -> None:
    """Compared with S0's own order: sampling before the in-plane resize."""
    hu = np.random.default_rng(1).integers(-3000, 3000, (20, 22, 40)).astype(np.int16)
    path = write_nifti(tmp_path / "a.nii.gz", hu)
    transform = transform_for_training(CT)
    transform.set_random_state(seed=5)
    sample = transform({"image": str(path)})["image"]
    assert sample.shape == (1, 16, 32, 32)
    clipped = read_ct(path).clamp(-1200, 600)
    z = (clipped + 604.2288900583559) / 489.42172740885655
    fits = [
        torch.nn.functional.interpolate(
            take_slices(z, 16, np.arange(start, start + 16))[None], (16, 32, 32), mode="trilinear"
        )[0]
        for start in range(40 - 16)
    ]
    assert sum(torch.allclose(sample, fit, atol=1e-5) for fit in fits) == 1


def test_values_beyond_the_window_do_not_matter(tmp_path: Path) -> None:
    hu = np.full((16, 16, 20), -1200, np.int16)
    hu[..., 3] = -2048
    item = transform_for_testing(CT)(
        {"image": str(write_nifti(tmp_path / "a.nii", hu)), "name": "a"}
    )
    assert item["image"].shape == (3, 1, 16, 32, 32)
    assert torch.allclose(item["image"], torch.tensor(-1.2172), atol=1e-3)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16", "LA", "1"])
def test_every_image_mode_becomes_grey(tmp_path: Path, mode: str) -> None:
    pixels = (np.arange(48 * 32) % 251).reshape(48, 32).astype(np.uint8)
    image = Image.fromarray(pixels)
    image = (
        Image.fromarray(pixels.astype(np.uint16) * 256) if mode == "I;16" else image.convert(mode)
    )
    image.save(tmp_path / "x.png")
    read = read_grey(tmp_path / "x.png")
    assert read.shape == (1, 48, 32)  # rows first
    assert read.dtype == torch.float32
    if mode in ("L", "RGB", "RGBA", "LA"):
        assert torch.equal(read[0], torch.from_numpy(pixels).float())
    item = transform_for_testing(GREY)({"image": str(tmp_path / "x.png"), "name": "x"})["image"]
    assert item.shape == (1, 1, 16, 24)
    assert float(item.mean()) == pytest.approx(0.0, abs=1e-4)
    assert float(item.std()) == pytest.approx(1.0, abs=1e-2)


def test_a_uniform_picture_has_no_nan(tmp_path: Path) -> None:
    Image.new("L", (32, 32), 7).save(tmp_path / "x.jpg")
    item = transform_for_testing(GREY)({"image": str(tmp_path / "x.jpg"), "name": "x"})
    assert torch.isfinite(item["image"]).all()


def test_broken_files_are_named(tmp_path: Path) -> None:
    whole = write_nifti(tmp_path / "whole.nii.gz", np.zeros((9, 9, 9), np.int16))
    plain = gzip.decompress(whole.read_bytes())
    broken = {
        "cut.nii.gz": whole.read_bytes()[:60],
        "short.nii": plain[: len(plain) // 2],
        "text.nii.gz": b"hello",
        "empty.nii": b"",
    }
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name}: not readable") as caught:
            read_ct(tmp_path / name)
        assert "\n" not in str(caught.value)
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n123")
    with pytest.raises(DataError, match=r"x\.png: not readable"):
        read_grey(tmp_path / "x.png")
    with pytest.raises(DataError, match="not one 3D volume"):
        read_ct(write_nifti(tmp_path / "4d.nii", np.zeros((4, 4, 4, 2), np.int16)))


def test_a_volume_without_voxels_or_position_is_named(tmp_path: Path) -> None:
    hu = np.zeros((4, 5, 6), np.int16)
    flat, unknown = np.diag([1.0, 1, 0, 1]), np.diag([1.0, np.nan, 1, 1])
    for broken, affine in ((hu, flat), (hu, unknown), (hu[:, :, :0], np.eye(4))):
        image = nib.Nifti1Image(broken, np.eye(4))
        for row, name in zip(affine, ("srow_x", "srow_y", "srow_z"), strict=False):
            image.header[name] = row
        raw = image.header.copy()
        raw["vox_offset"], raw["magic"], raw["sform_code"] = 352, b"n+1", 1
        (tmp_path / "a.nii").write_bytes(raw.binaryblock + bytes(4) + broken.tobytes("F"))
        with pytest.raises(DataError, match=r"a\.nii: not readable as an image"):
            read_ct(tmp_path / "a.nii")


def test_a_header_that_declares_too_many_voxels_is_refused(tmp_path: Path) -> None:
    header = nib.Nifti1Header()
    header.set_data_shape((30_000, 30_000, 30_000))
    header.set_data_dtype(np.int16)
    header["magic"] = b"n+1"
    (tmp_path / "huge.nii").write_bytes(header.binaryblock + b"\0" * 100)
    with pytest.raises(DataError, match=r"huge\.nii: .*too many"):
        read_ct(tmp_path / "huge.nii")


def test_a_second_epoch_does_not_read_again(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii.gz", np.zeros((16, 16, 40), np.int16))
    cases = [case(path)]
    first = make_dataset(cases, [1], transform_for_training(CT), CT, tmp_path / "cache")[0]
    kept = path.stat()
    path.write_bytes(b"x" * kept.st_size)  # unreadable from here on
    os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    again = make_dataset(cases, [1], transform_for_testing(CT), CT, tmp_path / "cache")[0]
    assert first["image"].shape == (1, 16, 32, 32)
    assert again["image"].shape == (3, 1, 16, 32, 32)
    os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns + 1))  # changed: read again
    with pytest.raises(DataError, match=r"a\.nii\.gz: not readable"):
        make_dataset(cases, [1], transform_for_testing(CT), CT, tmp_path / "cache")[0]
    path.unlink()
    with pytest.raises(DataError, match=r"a\.nii\.gz: No such file"):
        make_dataset(cases, [1], transform_for_testing(CT), CT, tmp_path / "cache")


def test_a_different_preprocessing_has_its_own_cache(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii", np.zeros((16, 16, 40), np.int16))
    wide = CtVolume(kind="ct-volume", size=(16, 48, 48))
    for images, side in ((CT, 32), (wide, 48)):
        item = make_dataset(
            [case(path)], [0], transform_for_testing(images), images, tmp_path / "c"
        )[0]
        assert item["image"].shape[-1] == side


def test_augmentation_is_named_random_and_repeatable(tmp_path: Path) -> None:
    Image.fromarray((np.arange(32 * 32) % 255).reshape(32, 32).astype(np.uint8)).save(
        tmp_path / "x.png"
    )
    flips = (
        Augmentation(name="RandFlip", args={"prob": 0.5, "spatial_axis": 1}),
        Augmentation(name="RandGaussianNoise", args={"prob": 1.0, "std": 0.1}),
    )
    transform = transform_for_training(GREY, flips)
    transform.set_random_state(seed=3)
    first = [transform({"image": str(tmp_path / "x.png")})["image"] for _ in range(6)]
    transform.set_random_state(seed=3)
    again = [transform({"image": str(tmp_path / "x.png")})["image"] for _ in range(6)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize(
    "name", ["RandLambda", "RandNothing", "RandomizableTrait", "RandTorchVision"]
)
def test_only_pixel_transforms_can_be_named(name: str) -> None:
    with pytest.raises(RecipeError, match=f"named '{name}'"):
        random_transform(Augmentation(name=name))


def test_wrong_arguments_of_a_transform_are_reported() -> None:
    with pytest.raises(RecipeError, match=r"augmentation RandFlip: .*wrong"):
        random_transform(Augmentation(name="RandFlip", args={"wrong": 1}))
