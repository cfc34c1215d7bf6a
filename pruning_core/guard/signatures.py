"""Files of other formats, told by how they start, so that the sentence can name them."""

import re

from pruning_core.refusals import refused

KNOWN = (
    (b"\x89HDF\r\n\x1a\n", "E201", "the file is HDF5 (Keras .h5); export the model to ONNX"),
    (b"GGUF", "E201", "the file is GGUF"),
    (b"\x1f\x8b", "E201", "the file is compressed by gzip; unpack it"),
    (b"7z\xbc\xaf", "E201", "the file is a 7z archive; unpack it"),
    (b"Rar!", "E201", "the file is a RAR archive; unpack it"),
    (b"BZh", "E201", "the file is compressed by bzip2; unpack it"),
    (b"\xfd7zXZ", "E201", "the file is compressed by xz; unpack it"),
    (b"\x7fELF", "E201", "the file is a program"),
    (b"MZ", "E201", "the file is a program"),
    (b"%PDF", "E201", "the file is a PDF"),
    (b"\x89PNG", "E301", "the file is one picture; pack pictures into a zip"),
    (b"\xff\xd8\xff", "E301", "the file is one picture; pack pictures into a zip"),
    (b"GIF8", "E301", "the file is one picture; pack pictures into a zip"),
    (b"PAR1", "E301", "the file is Parquet"),
    (b"ARROW1", "E301", "the file is Arrow"),
)
_PICKLE = re.compile(
    rb"\x80[\x02-\x05][\x00-\xff]"  # protocols 2 to 5
    rb"|\(*c[\w.]{1,100}\n[\w.]{1,100}\n"  # protocol 0: a call
    rb"|\((?:d|l|i[\w.]+\n)|\((?:S'|V)|\(lp\d|\(dp\d"
)


def check_known(beginning: bytes) -> None:
    """Refuse a file whose first bytes are those of another format, by its name."""
    for start, code, what in KNOWN:
        if beginning.startswith(start):
            raise refused(code, what)
    if beginning[4:8] == b"TFL3":
        raise refused("E201", "the file is TensorFlow Lite")
    if beginning[257:262] == b"ustar":
        raise refused("E201", "the file is a tar archive; unpack it")
    if _PICKLE.match(beginning):
        raise refused("E204", "the file is a Python pickle, which can run code when it is read")
