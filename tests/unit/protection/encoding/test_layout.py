"""The flat vector: which tensors are wide, what is refused."""

import numpy as np
import pytest

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection.encoding.layout import SMALL, Layout

SHAPES = {"w": (2, SMALL), "b": (SMALL + 1,), "s": (), "small": (1, SMALL), "v": (3, SMALL)}


def test_wide_tensors_come_first_and_keep_their_order() -> None:
    layout = Layout(SHAPES)
    assert [t.name for t in layout.tensors] == ["b", "s", "small", "w", "v"]
    assert [t.packed for t in layout.tensors] == [False, False, False, True, True]
    assert layout.wide_values == 2 * SMALL + 2
    assert layout.values == 7 * SMALL + 2
    assert layout.tensors[-1].span.stop == layout.values


def test_flatten_and_back() -> None:
    layout = Layout(SHAPES)
    rng = np.random.default_rng(0)
    state = {n: np.asarray(rng.normal(size=s), np.float32) for n, s in reversed(SHAPES.items())}
    back = layout.unflatten(layout.flatten(state))
    assert list(back) == list(SHAPES)
    for name, array in back.items():
        assert array.shape == SHAPES[name]
        assert array.tobytes() == state[name].tobytes()
        assert array.flags.writeable


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b": None}, "differ in tensor 'b'"),
        ({"x": np.zeros(1, np.float32)}, "differ in tensor 'x'"),
        ({"b": np.zeros(3, np.float32)}, "expected float32"),
        ({"b": np.zeros(SMALL + 1)}, "float64"),
        ({"s": np.float32(np.nan).reshape(())}, "'s' holds values that are not finite"),
        ({"s": np.float32(np.inf).reshape(())}, "'s' holds values that are not finite"),
    ],
)
def test_states_that_do_not_fit(change: dict[str, np.ndarray | None], message: str) -> None:
    state = {n: np.zeros(s, np.float32) for n, s in SHAPES.items()} | change
    with pytest.raises(ProtectionError, match=message):
        Layout(SHAPES).flatten({n: a for n, a in state.items() if a is not None})


def test_models_without_values() -> None:
    with pytest.raises(ProtectionError, match="without tensors"):
        Layout({})
    with pytest.raises(ProtectionError, match=r"'w' of shape \(3, 0\)"):
        Layout({"w": (3, 0)})
