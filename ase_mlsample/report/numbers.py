"""Numbers as text, with as many digits as they deserve."""

from __future__ import annotations

import math

__all__ = ["LEAST", "number", "signed"]

#: What is smaller is shown as zero: five places at most are written.
LEAST = 5e-6


def number(value: float | None, uncertainty: float | None = None) -> str:
    """A value with four digits, or with those that its uncertainty leaves; "–" for none.

    Parameters
    ----------
    value
        None and what is not finite have no digits.
    uncertainty
        In the same unit.
    """
    if value is None or not math.isfinite(value):
        return "–"
    value = value if abs(value) >= LEAST else 0.0  # without its sign
    size = abs(value)
    digits = 3 if size == 0 else 3 - math.floor(math.log10(size))
    if uncertainty and math.isfinite(uncertainty):
        digits = max(digits - 1, 1 - math.floor(math.log10(uncertainty)))
    return f"{value:.{min(max(digits, 0), 5)}f}"


def signed(text: str) -> str:
    """A number's text with its sign, zero without: the minus is that of typesetters."""
    if text.startswith("-"):
        return text.replace("-", "−")
    return f"+{text}" if text.strip("0.–") else text
