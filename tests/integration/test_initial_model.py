"""Runs that begin with a model from a file: in clear, or sealed by a key holder."""

from pathlib import Path

import numpy as np
import pytest
from flwr.common.serde import message_to_proto
from helpers.federation import Config, LocalRun, model, opened, recipes, run
from safetensors.numpy import load_file, save_file

from ucadi_flwr.errors import DataError, FederationError, ProtectionError
from ucadi_flwr.exchange.initial_model import sealed_initial_model
from ucadi_flwr.protection.keys import SiteKey

pytestmark = pytest.mark.usefixtures("no_pauses")

ADAM = "server-optimizer: {name: fedadam, learning-rate: 0.01}\nprotection: bfv"


@pytest.fixture
def first(config: Config) -> Path:
    """The model of an earlier run (S1's experiment I)."""
    made = config(name="first", rounds=1, seed=7)
    run(made)
    return made.server / "model.safetensors"


def sealed(config: LocalRun, path: Path, key: SiteKey | None = None) -> LocalRun:
    """The same with the file as a key holder seals it."""
    blob = sealed_initial_model(path, *recipes(config), config.seed, key or keys(config))
    out = path.with_name(f"{config.name}.sealed")
    out.write_bytes(blob)
    return config.changed(initial=str(out))


def keys(config: LocalRun) -> SiteKey:
    return SiteKey.load(Path(config.key))


def test_the_first_message_holds_the_file_s_model(config: Config, first: Path) -> None:
    _, network = run(config(name="second", rounds=1, initial=str(first)))
    asked = next(m for m in network.pushed if m.metadata.message_type == "train")
    sent = asked.content.array_records["initial"]
    stored = load_file(first)
    assert all(array.numpy().tobytes() == stored[name].tobytes() for name, array in sent.items())


@pytest.mark.parametrize("strategy", ["ucadi", "adam"])
def test_a_sealed_model_is_read_by_sites_only(config: Config, first: Path, strategy: str) -> None:
    recipe = {"recipe": ADAM} if strategy == "adam" else {}
    made = sealed(config(strategy, scheme="bfv", name=strategy, rounds=2, **recipe), first)
    _, network = run(made)
    plain = {"recipe": ADAM.replace("\nprotection: bfv", "")} if strategy == "adam" else {}
    name = f"{strategy}-plain" if plain else "fedavg"
    twin = config(name, name="twin", rounds=2, initial=str(first), **plain)
    run(twin)
    a, b = opened(made).state, model(twin)
    limit = 1e-3 if strategy == "adam" else 1e-5  # Adam's step is steep near 0
    assert max(np.abs(a[name] - b[name]).max() for name in a) < limit
    messages = [message_to_proto(m).SerializeToString() for m in network.pushed + network.replies]
    files = [path.read_bytes() for path in made.server.rglob("*") if path.is_file()]
    server = b"\n".join(messages + files)
    tensors = [v.tobytes() for v in load_file(first).values() if v.nbytes >= 64]
    assert len(tensors) > 10
    assert not [t for t in tensors if t in server and len(set(t)) > 8]
    clear = [message_to_proto(m).SerializeToString() for m in run(twin)[1].pushed]
    assert any(t in b"\n".join(clear) for t in tensors)


def test_models_that_do_not_fit_are_refused_before_a_site_is_asked(
    config: Config, first: Path, tmp_path: Path
) -> None:
    made = config("ucadi", scheme="bfv")

    def refused(error: type[Exception], match: str, initial: str) -> None:
        with pytest.raises(error, match=match):
            run(made.changed(initial=initial))

    refused(
        ProtectionError, "not a sealed initial model; make one with ucadi seal", initial=str(first)
    )
    refused(DataError, "No such file", initial=str(tmp_path / "none"))
    other = sealed(made, first, SiteKey.create("bfv"))
    refused(ProtectionError, "sealed under key", initial=other.initial)
    plain = config("fedavg", name="plain")
    narrow = {n: v[..., :-1].copy() if v.ndim > 1 else v for n, v in load_file(first).items()}
    save_file(narrow, tmp_path / "narrow.safetensors")
    with pytest.raises(DataError, match="in the network"):
        run(plain.changed(initial=str(tmp_path / "narrow.safetensors")))
    save_file(load_file(first), tmp_path / "other.safetensors", {"classes": '["cat", "dog"]'})
    with pytest.raises(DataError, match="choose a model of the same classes"):
        run(plain.changed(initial=str(tmp_path / "other.safetensors")))


def test_an_altered_one_is_refused_by_the_sites(config: Config, first: Path) -> None:
    made = sealed(config("ucadi", scheme="bfv", rounds=1), first)
    blob = bytearray(Path(made.initial).read_bytes())
    blob[-20] ^= 1
    Path(made.initial).write_bytes(bytes(blob))
    with pytest.raises(FederationError, match="altered, or for another network"):
        run(made)
