"""A tiny task on real files: pictures whose class is a bright side, for fast federations."""

from pathlib import Path

import nibabel
import numpy as np

TASK = """\
schema_version: 1
name: tiny
summary: Which side of a noisy picture is bright.
classes: [left, right]
positive-class: right
model: {name: densenet3d, width: 2, growth: 2}
images: {kind: ct-volume, size: [8, 16, 16], test-samples: 2}
split: {test: 0.25}
training: {epochs: 2, batch-size: 4, learning-rate: 0.05, warmup: 0.1}
"""


def write_task(folder: Path) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(TASK, encoding="utf-8")
    return path


def write_sites(root: Path, sizes: dict[str, int]) -> Path:
    """One folder a site with that many volumes; each patient has one."""
    for number, (site, size) in enumerate(sizes.items()):
        rng = np.random.default_rng(number)
        (root / site / "images").mkdir(parents=True)
        lines = ["name,label,patient"]
        for i in range(size):
            hu = rng.normal(-700, 100, (16, 16, 10))
            hu[8 * (i % 2) : 8 * (i % 2) + 8] += 300
            image = nibabel.Nifti1Image(hu.astype(np.int16), np.diag([2.0, 2, 5, 1]))
            nibabel.save(image, root / site / "images" / f"c{i}.nii.gz")
            # NIfTI's +x is the patient's right, the picture's left after reorientation to LPS
            lines.append(f"c{i},{('right', 'left')[i % 2]},{site}-{i}")
        (root / site / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root
