"""Names that strangers chose, made fit for a sentence."""

import unicodedata

LONGEST = 60  # characters of a name in a sentence


def shown(name: str | bytes) -> str:
    """Return a name in quotes, cut, with control, bidirectional and unassigned characters as U+XXXX."""
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
    cut = text[:LONGEST]
    plain = "".join(
        f"U+{ord(char):04X}" if unicodedata.category(char)[0] == "C" or char in "\u2028\u2029" else char for char in cut
    )
    return f"'{plain}{'…' if len(text) > LONGEST else ''}'"
