"""Numbers as text: proportions without leading zero, as journals print them, and a minus sign."""

from math import isfinite

NONE = "–"
"""Stands for a value that is not defined."""

MINUS = "\N{MINUS SIGN}"


def number(value: float, decimals: int = 0) -> str:
    """With thousands separators.

    >>> number(12345.67, decimals=1)
    '12,345.7'
    """
    return f"{value:,.{decimals}f}"


def share(value: float | None, decimals: int = 3) -> str:
    """A proportion, or a difference of two; "–" for None or NaN.

    >>> share(0.9124), share(1), share(-0.25), share(None)
    ('.912', '1.000', '−.250', '–')
    """
    if value is None or not isfinite(value):
        return NONE
    text = f"{abs(value):.{decimals}f}".removeprefix("0")
    return f"{MINUS}{text}" if value < 0 and text.strip(".0") else text


def signed(value: float | None, decimals: int = 3) -> str:
    """Like :func:`share`, with "+" or "−"; a value that rounds to zero has no sign.

    >>> signed(0.0012), signed(0.0001)
    ('+.001', '.000')
    """
    text = share(value, decimals)
    return f"+{text}" if text.strip(".0") and text[0] not in (MINUS, NONE) else text


def interval(low: float | None, high: float | None, decimals: int = 3) -> str:
    """Both ends of an interval; "to" if an end has a minus sign, "" if neither end is known.

    >>> interval(0.853, 0.951), interval(-0.004, 0.006), interval(None, None)
    ('.853–.951', '−.004 to .006', '')
    """
    ends = [share(low, decimals), share(high, decimals)]
    if ends == [NONE, NONE]:
        return ""
    joint = " to " if any(end[0] in (MINUS, NONE) for end in ends) else "–"
    return joint.join(ends)


def p_value(p: float | None) -> str:
    """A p-value as journals print it.

    >>> p_value(0.712), p_value(0.0431), p_value(0.0002), p_value(0.999), p_value(1)
    ('.71', '.043', '< .001', '> .99', '1')
    """
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
    """A p-value in a sentence: "p = .71", "p < .001"."""
    text = p_value(p)
    return f"p {text}" if text[0] in "<>" else f"p = {text}"


def counted(n: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "case"), counted(1200, "case")
    ('1 case', '1,200 cases')
    """
    return f"{number(n)} {noun}{'' if n == 1 else 's'}"
