"""Figures as text: shares without their leading zero, as journals print them, and a true minus."""

from math import isfinite

NONE = "–"
"""A figure that is not defined."""

MINUS = "\N{MINUS SIGN}"


def number(value: float, decimals: int = 0) -> str:
    """12345.67 → "12,345.7" with one decimal."""
    return f"{value:,.{decimals}f}"


def share(value: float | None, decimals: int = 3) -> str:
    """0.9124 → ".912", 1 → "1.000", −0.25 → "−.250"; None or NaN → "–"."""
    if value is None or not isfinite(value):
        return NONE
    text = f"{abs(value):.{decimals}f}".removeprefix("0")
    return f"{MINUS}{text}" if value < 0 and text.strip(".0") else text


def signed(value: float | None, decimals: int = 3) -> str:
    """As :func:`share`, with a plus: 0.0012 → "+.001"; what rounds to zero has no sign."""
    text = share(value, decimals)
    return f"+{text}" if text.strip(".0") and text[0] not in (MINUS, NONE) else text


def interval(low: float | None, high: float | None, decimals: int = 3) -> str:
    """Both ends: ".853–.951", "−.004 to .006" beside a minus, nothing if neither is known."""
    ends = [share(low, decimals), share(high, decimals)]
    if ends == [NONE, NONE]:
        return ""
    joint = " to " if any(end[0] in (MINUS, NONE) for end in ends) else "–"
    return joint.join(ends)


def p_value(p: float | None) -> str:
    """As journals print it: ".71", ".043", "< .001", "> .99"; 1 → "1"."""
    if p is None or not isfinite(p):
        return NONE
    if p < 0.001:
        return "< .001"
    if p < 0.0995:
        return share(p)
    if p >= 1:
        return "1"
    return "> .99" if p >= 0.995 else share(p, 2)


def p_equals(p: float | None) -> str:
    """In a sentence: "p = .71", "p < .001"."""
    text = p_value(p)
    return f"p {text}" if text[0] in "<>" else f"p = {text}"


def counted(n: int, noun: str) -> str:
    """With its noun: "1 case", "1,200 cases"."""
    return f"{number(n)} {noun}{'' if n == 1 else 's'}"
