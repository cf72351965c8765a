"""Numbers as the page prints them."""

import pytest

from ucadi_flwr.report import formats


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(12345.67, 1, "12,345.7"), (0.99951, 3, "1.000"), (1234, 0, "1,234")],
)
def test_numbers(value: float, decimals: int, text: str) -> None:
    assert formats.number(value, decimals) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.9124, ".912"),
        (1.0, "1.000"),
        (0.99951, "1.000"),
        (0.0, ".000"),
        (-0.25, "−.250"),
        (-0.0004, ".000"),
        (-0.0, ".000"),
        (None, "–"),
        (float("nan"), "–"),
        (float("inf"), "–"),
    ],
)
def test_shares(value: float | None, text: str) -> None:
    assert formats.share(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0012, "+.001"), (-0.0012, "−.001"), (0.0004, ".000"), (-0.0004, ".000"), (None, "–")],
)
def test_differences_have_a_sign_unless_they_round_to_zero(value: float | None, text: str) -> None:
    assert formats.signed(value) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.853, 0.951, ".853–.951"),
        (-0.004, 0.006, "−.004 to .006"),
        (-0.004, -0.001, "−.004 to −.001"),
        (None, 0.5, "– to .500"),
        (None, None, ""),
    ],
)
def test_intervals(low: float | None, high: float | None, text: str) -> None:
    assert formats.interval(low, high) == text


@pytest.mark.parametrize(
    ("p", "text", "sentence"),
    [
        (0.71, ".71", "p = .71"),
        (0.0995, ".10", "p = .10"),
        (0.0994, ".099", "p = .099"),
        (0.043, ".043", "p = .043"),
        (0.001, ".001", "p = .001"),
        (0.00099, "< .001", "p < .001"),
        (0.994, ".99", "p = .99"),
        (0.996, "> .99", "p > .99"),
        (1.0, "1", "p = 1"),
        (None, "–", "p = –"),
        (float("nan"), "–", "p = –"),
    ],
)
def test_p_values(p: float | None, text: str, sentence: str) -> None:
    assert formats.p_value(p) == text
    assert formats.p_equals(p) == sentence


def test_counts_have_their_noun() -> None:
    assert [formats.counted(n, "case") for n in (0, 1, 1200)] == [
        "0 cases",
        "1 case",
        "1,200 cases",
    ]
