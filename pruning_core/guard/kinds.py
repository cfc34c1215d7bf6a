"""The kinds of files that are read from strangers, told by their content."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind: what it holds, and how its file names end, the usual one first."""

    name: str
    title: str
    holds: str  # "model" or "data"
    suffixes: tuple[str, ...]


_KINDS = (
    Kind("onnx", "an ONNX model", "model", (".onnx",)),
    Kind("safetensors", "weights in safetensors", "model", (".safetensors",)),
    Kind("state_dict", "a state dict of PyTorch", "model", (".pt", ".pth", ".bin", ".ckpt")),
    Kind("npz", "arrays in an .npz", "data", (".npz",)),
    Kind("npy", "one array in an .npy", "data", (".npy",)),
    Kind("images", "a zip of pictures", "data", (".zip",)),
    Kind("table", "a table of numbers", "data", (".csv", ".tsv")),
    Kind("text", "a text", "data", (".txt", ".text", ".md")),
)
KINDS = {kind.name: kind for kind in _KINDS}


def suffix_of(kind: str, suffix: str = "") -> str:
    """Return the ending under which a file of this kind is stored: its own where that fits, else the usual one."""
    suffixes = KINDS[kind].suffixes
    return suffix.lower() if suffix.lower() in suffixes else suffixes[0]
