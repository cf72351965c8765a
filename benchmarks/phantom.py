"""The chest phantom: processor time per volume, and how well simple statistics show disease.

Run `python benchmarks/phantom.py`; it prints two tables and writes them as JSON. All figures are of
phantoms. A statistic's AUC (healthy against either disease) is taken as max(AUC, 1 − AUC), so that
0.5 means no information. "threshold" is the balanced accuracy of the best threshold, chosen on the
same data. The lung's outline comes from the noise-free healthy counterpart of the same patient,
with the vessels filled in: it is better than a threshold on the scan itself would give.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import roc_auc_score, roc_curve

from ucadi_flwr.data.phantom.scanner import Scanner, site_scanner
from ucadi_flwr.data.phantom.volume import LABELS, SHAPE, PhantomLabel, Shape, Spacing, make_volume

SITES = (1, 2, 3)
CYCLE: tuple[PhantomLabel, ...] = ("healthy", "ground-glass", "healthy", "consolidation")
NOISE_FREE = Scanner(5.0, "standard", 0.0, 0.0, contrast_agent=False)
CLOSE_MM = 9.0

Image = NDArray[np.int16]
Mask = NDArray[np.bool_]


def air_inside(hu: Image) -> Mask:
    air = hu < -400
    parts, _ = ndimage.label(air)
    rim = np.concatenate([parts[:, [0, -1]].ravel(), parts[:, :, [0, -1]].ravel()])
    return np.asarray(air & ~np.isin(parts, np.unique(rim)))


def closed_lung(hu: Image, spacing: Spacing) -> Mask:
    steps = max(1, round(CLOSE_MM / spacing[1]))
    planes = []
    for plane in air_inside(hu):
        closed = ndimage.binary_closing(np.pad(plane, steps + 1), iterations=steps)
        planes.append(
            ndimage.binary_fill_holes(closed)[steps + 1 : -steps - 1, steps + 1 : -steps - 1]
        )
    return np.stack(planes)


def statistics(hu: Image, lung: Mask, spacing: Spacing) -> dict[str, float]:
    body = np.stack([ndimage.binary_fill_holes(plane > -500) for plane in hu])
    in_body, in_lung = hu[body], hu[lung]
    return {
        "mean HU": float(hu.mean()),
        "SD of HU": float(hu.std()),
        "lung volume (threshold)": float(air_inside(hu).sum() * np.prod(spacing)),
        "lung: mean HU": float(in_lung.mean()),
        "lung: median HU": float(np.median(in_lung)),
        "lung: share above -200": float((in_lung > -200).mean()),
        "body: share -700 to -200": float(((in_body > -700) & (in_body < -200)).mean()),
        "body: share -600 to -300 (tuned)": float(((in_body > -600) & (in_body < -300)).mean()),
        "lung: SD of HU": float(in_lung.std()),
        "lung: 90th percentile": float(np.percentile(in_lung, 90)),
    }


def auc(ill: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    value = float(roc_auc_score(ill, score))
    return max(value, 1.0 - value)


def best_threshold(ill: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    fall_out, sensitivity, _ = roc_curve(ill, score)
    return float(0.5 + 0.5 * np.abs(sensitivity - fall_out).max())


def trivial(cases: int, seed: int, shape: Shape) -> dict[str, dict[str, float]]:
    labels, rows = [], []
    for index in range(cases):
        site = SITES[index % len(SITES)]
        label = CYCLE[index // len(SITES) % len(CYCLE)]
        hu, spacing = make_volume(
            label, site_scanner(site), seed=seed, site=site, patient=index, shape=shape
        )
        counterpart, _ = make_volume(
            "healthy", NOISE_FREE, seed=seed, site=site, patient=index, shape=shape
        )
        labels.append(label)
        rows.append(statistics(hu, closed_lung(counterpart, spacing), spacing))
    truth = np.array(labels)
    table = {}
    for name in rows[0]:
        score = np.array([row[name] for row in rows])
        healthy = truth == "healthy"
        row = {"both": auc(~healthy, score), "threshold": best_threshold(~healthy, score)}
        for label in LABELS[1:]:
            pair = healthy | (truth == label)
            row[label] = auc(truth[pair] == label, score[pair])
        table[name] = row
    return table


def seconds(shape: Shape, repeats: int) -> float:
    times = []
    for index in range(repeats):
        start = time.process_time()
        make_volume(
            CYCLE[index % len(CYCLE)], site_scanner(index), seed=0, patient=index, shape=shape
        )
        times.append(time.process_time() - start)
    return float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the chest phantom.")
    parser.add_argument("--cases", type=int, default=600)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/phantom.json"))
    options = parser.parse_args()

    shapes: tuple[Shape, ...] = ((16, 48, 48), (16, 64, 64), SHAPE)
    speed = {"x".join(map(str, shape)): seconds(shape, options.repeats) for shape in shapes}
    print(f"{'volume':34} {'CPU ms':>12}")
    for name, value in speed.items():
        print(f"{name:34} {1000 * value:12.0f}")

    table = trivial(options.cases, options.seed, (16, 64, 64))
    heads = "".join(f" {head:>10}" for head in ("both", "threshold", "glass", "solid"))
    print(f"\n{'AUC, 16x64x64, three sites pooled':34}{heads}")
    for name, row in table.items():
        print(f"{name:34}" + "".join(f" {value:10.2f}" for value in row.values()))

    result = {"cases": options.cases, "seed": options.seed, "seconds": speed, "auc": table}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
