"""Golden runs: every strategy over the loopback network, with what it must end at.

``python tests/golden/golden.py`` (in the repository's environment, ``PYTHONPATH=.:tests``) writes
``golden.json`` anew. Do it only where a change of results is meant, and say so in the changelog.

The bits of a trained model depend on the processor and on PyTorch's build. So each golden run holds
its bits as a SHA-256, valid where the ``machine`` is the same, and each tensor's mean and standard
deviation, which hold everywhere within :data:`TOLERANCE`.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from helpers import tiny
from helpers.federation import SIZES, LocalRun, configs, opened, run
from safetensors.numpy import load_file

FILE = Path(__file__).with_name("golden.json")
ROUNDS = 3
SCHEMES = {"ucadi": "bfv", "ftl-encrypted": "bfv", "fedavg-ckks": "ckks"}
STRATEGIES = sorted(path.stem for path in (FILE.parents[2] / "strategies").glob("*.yaml"))
TOLERANCE = 2e-3
"""Of a mean or a standard deviation: another processor's float32 sums over three rounds, CKKS."""


def machine() -> str:
    """What the bits depend on: PyTorch's build, and the processor."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    return f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {min(models)}"


def play(strategy: str, folder: Path) -> dict[str, Any]:
    """One strategy, three rounds, three sites; its models by name, and who took part."""
    folder.mkdir()
    data = tiny.write_sites(folder / "data", SIZES)
    scheme = SCHEMES.get(strategy, "")
    made = configs(folder, data)(strategy, scheme=scheme, rounds=ROUNDS)
    with patch("ucadi_flwr.server.replies.POLL_SECONDS", 0.001):
        result, _ = run(made)
    states = models(made, bool(scheme))
    return {
        "exact": scheme != "ckks",
        "models": {name: summary(state) for name, state in states.items()},
        "rounds": [sorted(record["sites"]) for record in result["rounds"]],
    }


def models(made: LocalRun, encrypted: bool) -> dict[str, Mapping[str, np.ndarray]]:
    """The models that the server or a key holder has, and those that sites keep."""
    paths = [*made.folder.server.models, *sorted(made.own_models.glob("*.safetensors"))]
    states: dict[str, Mapping[str, np.ndarray]] = {
        f"{path.parent.name}/{path.name}": load_file(path) for path in paths
    }
    return {**states, "opened": opened(made).state} if encrypted else states


def summary(state: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The bits of a model, and the mean and standard deviation of each tensor."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode() + state[name].tobytes())
    floats = {n: v.astype(np.float64) for n, v in state.items() if v.dtype == np.float32}
    moments = {n: [round(float(m), 6) for m in (v.mean(), v.std())] for n, v in floats.items()}
    return {"sha256": digest.hexdigest(), "moments": moments}


def main() -> None:
    """Write the golden runs."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: play(name, Path(folder) / name) for name in STRATEGIES}
    golden = {"machine": machine(), "runs": runs}
    FILE.write_text(
        json.dumps(golden, indent=None, sort_keys=True).replace("}, ", "},\n") + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
