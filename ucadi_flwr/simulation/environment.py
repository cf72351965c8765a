"""The machine and the software that a result was computed with, for the record."""

import os
import platform
import subprocess  # git, without a shell
from importlib.metadata import version
from pathlib import Path

import torch

PACKAGES = ("ucadi-flwr", "flwr", "ray", "torch", "monai", "numpy")


def describe_environment() -> dict[str, str]:
    """Versions, processor, GPU and commit as plain text; nothing identifies a person."""
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": str(os.cpu_count()),
        "gpu": gpu,
        **{name: version(name) for name in PACKAGES},
        "commit": _commit(),
    }


def _commit() -> str:
    """The source's git commit, with '+' if files changed since; 'unknown' outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
