"""Numbers as text, in the one way this app writes them: minus U+2212, space before %, thousands comma."""

import re

MINUS = "\N{MINUS SIGN}"


def rounded(value: float, digits: int = 1) -> str:
    """Return |value| rounded half away from zero."""
    return f"{abs(value) + 1e-9:.{digits}f}"


def signed(value: float, digits: int = 1) -> str:
    """Return +0.1, −3.4 or 0.0."""
    text = rounded(value, digits)
    return text if float(text) == 0 else (MINUS if value < 0 else "+") + text


def typeset(sentence: str) -> str:
    """Return a sentence of the library with the app's minus and percent signs and a capital."""
    text = re.sub(r"(?<=\d)%", " %", re.sub(r"(?<![\w])-(?=\d)", MINUS, sentence))
    return f"{text[:1].upper()}{text[1:]}"


def points(fraction: float, digits: int = 1) -> str:
    """Return a change of a share in points: −3.1 pt."""
    return f"{signed(100 * fraction, digits)} pt"


def percent(fraction: float, digits: int = 1) -> str:
    """Return 88.0 %."""
    return f"{rounded(100 * fraction, digits)} %"


def change(now: float, dense: float) -> str:
    """Return the relative change: −26.4 %."""
    return f"{signed(100 * (now / dense - 1))} %" if dense else ""


def count(n: int) -> str:
    """Return 18,432."""
    return f"{n:,}"


def plural(n: int, word: str) -> str:
    """Return 1 input, 32 inputs."""
    return f"{count(n)} {word}{'' if n == 1 else 's'}"


def scaled(value: float, units: tuple[str, ...], base: float) -> tuple[str, str]:
    """Return three figures and the unit that fits: ("229", "KB")."""
    power = 0
    while value >= base - 0.5 and power < len(units) - 1:  # 999.7 KB is 1.00 MB
        value, power = value / base, power + 1
    digits = 0 if value >= 99.95 or power == 0 else 1 if value >= 9.995 else 2
    return rounded(value, digits), units[power]


def size(n_bytes: float) -> tuple[str, str]:
    """Return bytes in figures and unit, 1 KB = 1000 B."""
    return scaled(n_bytes, ("B", "KB", "MB", "GB", "TB"), 1000)


def operations(n: float) -> tuple[str, str]:
    """Return operations in figures and unit."""
    return scaled(n, ("", "K", "M", "G", "T"), 1000)


def duration(seconds: float) -> str:
    """Return 6 s, 2 min 5 s."""
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
