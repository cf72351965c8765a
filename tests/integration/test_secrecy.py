"""What the server of an encrypted run never has: a search in all that it sends, gets and writes."""

import json
from pathlib import Path

import numpy as np
import pytest
from flwr.common import NDArrays, Scalar
from helpers.federation import SIZES, Config, LocalRun, run
from helpers.loopback_grid import LoopbackGrid

from ucadi_flwr.models.factory import make_model
from ucadi_flwr.models.state import read_state
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.site.client import SiteClient

pytestmark = pytest.mark.usefixtures("no_pauses")

ADAM = "server-optimizer: {name: fedadam, learning-rate: 0.01}"


def everything_at_the_server(config: LocalRun, network: LoopbackGrid) -> bytes:
    """Its folder, its journal, and every message that it sent or got, in Flower's wire format."""
    from flwr.common.serde import message_to_proto

    files = [p.read_bytes() for p in sorted(config.server.rglob("*")) if p.is_file()]
    messages = [message_to_proto(m).SerializeToString() for m in network.pushed + network.replies]
    return b"\n".join(files + messages)


@pytest.mark.parametrize(("strategy", "readable"), [("fedavg", True), ("ucadi", False)])
def test_the_server_never_has_a_key_a_model_or_a_size(
    config: Config, strategy: str, readable: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same search finds all of it in a run without encryption, so the search works."""
    made = config(strategy, scheme="bfv", name=strategy, rounds=3)
    states: list[dict[str, np.ndarray]] = []
    fit, evaluate = SiteClient.fit, SiteClient.evaluate

    def spy_fit(
        client: SiteClient, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[NDArrays, int, dict[str, Scalar]]:
        result = fit(client, parameters, config)
        states.append(dict(zip(client.tensors.shapes, result[0], strict=True)))
        return result

    def spy_evaluate(
        client: SiteClient, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[float, int, dict[str, Scalar]]:
        states.append(dict(zip(client.tensors.shapes, parameters, strict=True)))
        return evaluate(client, parameters, config)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SiteClient, "fit", spy_fit)
        patch.setattr(SiteClient, "evaluate", spy_evaluate)
        _, network = run(made)
    captured = capfd.readouterr()
    server = everything_at_the_server(made, network) + (captured.out + captured.err).encode()
    key = SiteKey.load(Path(made.key))
    secret = json.loads(Path(made.key).read_text())["secret"]
    assert len(key.secret) >= 64
    for piece in (secret.encode(), key.secret, key.secret[:16], key.derived("tags")):
        assert piece not in server
    assert len(states) == 3 * 3 + 3
    tensors = [values.tobytes() for state in states for values in state.values()]
    initial = {
        t.tobytes() for t in read_state(make_model(loader.load(TaskRecipe, made.task), 0)).values()
    }
    trained = [t for t in tensors if len(t) >= 16 and t not in initial]
    assert len(trained) > 500
    assert any(t in server for t in trained) == readable
    sizes = [f'"examples": {3 * n // 4}'.encode() for n in SIZES.values()]
    assert all((size in server) == readable for size in sizes)
    shared = [m for m in network.pushed + network.replies if "num-examples" in str(m.content)]
    assert bool(shared) == readable


def test_a_record_of_a_site_s_size_is_in_no_message(config: Config) -> None:
    """Every integer that travels in clear, by where it stands."""
    _, network = run(config("ucadi", scheme="bfv", rounds=1))
    own = {3 * n // 4 for n in SIZES.values()} | {n // 4 for n in SIZES.values()} | {36}
    for message in network.pushed + network.replies:
        for record in message.content.config_records.values():
            clear = {k: v for k, v in record.items() if type(v) is int}
            assert clear.keys() <= {"rounds", "seed", "server-round", "total-weight"}
            assert clear.get("total-weight", 0) == 0
        for metrics in message.content.metric_records.values():
            assert set(metrics) == {"epochs", "seconds", "protect-seconds"}
            assert metrics["epochs"] not in own
