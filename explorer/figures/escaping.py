"""Names and sentences from files of strangers, made fit for each medium; one function each, and nothing else escapes.

Components need none: they write text, not markup. Reports of the library escape their own HTML.
"""

import re
import unicodedata

LONGEST = 128  # characters of a name that are shown
FILE_NAME = 64
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # control, direction, half of a pair, private, unknown, line ends
_MARKUP = re.compile(r"([\\`*_\[\]<>{}$|~#&!])")
_LINK = re.compile(r"(?<=:)(?=\S)|(?<=www)(?=\.)|(?<=@)|^(?=[-+=]|\d+[.)])", re.IGNORECASE)  # and lists
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def plain(name: str, longest: int = LONGEST) -> str:
    """Return a name in one line of visible characters: hidden ones as U+202E, a long one cut."""
    text = "".join(f"U+{ord(c):04X}" if unicodedata.category(c) in _HIDDEN else c for c in name[: 4 * longest])
    text = unicodedata.normalize("NFC", text)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def markdown(text: str, longest: int = 2000) -> str:
    """Return text that Streamlit's Markdown shows letter by letter: no images, links, colours, icons or formulas."""
    return _MARKUP.sub(r"\\\1", _LINK.sub("\N{WORD JOINER}", plain(text, longest).strip()))


def code(name: str) -> str:
    """Return a name as code in Markdown; a backtick, which would end it, becomes an apostrophe."""
    return f"`{plain(name).replace('`', 'ʼ')}`" if name.strip() else "` `"


def plotly(name: str) -> str:
    """Return text for labels of a figure, which take some HTML and, in what is hovered, fields as `%{x}`."""
    text = plain(name).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("%{", "%\N{WORD JOINER}{").replace("$", "\N{FULLWIDTH DOLLAR SIGN}")


def cell(text: str) -> str:
    """Return text for a table that may be saved as CSV: a spreadsheet takes no formula from it."""
    shown = plain(text)
    return f"'{shown}" if shown.startswith(FORMULA) or text.startswith(FORMULA) else shown


def file_name(text: str) -> str:
    """Return a file name of letters, digits, dot, dash and underscore; its end, which tells the format, stays."""
    last = unicodedata.normalize("NFKD", text.replace("\\", "/").rsplit("/", 1)[-1])
    stem, dot, end = _UNSAFE.sub("_", last.encode("ascii", "ignore").decode()).strip("._-").rpartition(".")
    stem, end = (stem, end[:16]) if dot else (end, "")
    return f"{stem[: FILE_NAME - 17].rstrip('._-') or 'file'}{dot}{end}"
