"""A text for a language model, `book.txt`: cut into sequences of the model's length, each token's target the next one.

Tokens are those of the model's own tokenizer (Hugging Face), else the bytes of the text where the model knows 256.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pruning_core.data import Dataset, EvalData
from pruning_core.errors import DataError
from pruning_core.loaders.network import hugging_face
from pruning_core.loaders.options import split, suffix
from pruning_core.loaders.seam import data_loader
from pruning_core.loaders.splits import dataset_of
from pruning_core.model import Model
from pruning_core.refusals import refused
from pruning_core.vocabulary import vocabulary

BYTES = 256
HUB = "hf:"
SHARES = {"calibration": (0.0, 0.6), "validation": (0.6, 0.8), "test": (0.8, 1.0)}  # of the text, in its order
Tokens = NDArray[np.int64]


@data_loader("text", form="book.txt for a language model", can_load=lambda spec: suffix(spec) in (".txt", ".md"))
def load_text(spec: str, model: Model | None = None) -> Dataset:
    """Load a text; its first part calibrates, the middle chooses, the end judges."""
    path = split(spec)[0]
    if model is None:
        raise DataError(f"'{path}' is cut into the tokens of a model; name the model too")
    length, known = _length(model), vocabulary(model.graph) or 0
    tokens, how = _tokens(_read(path), model, known)
    n = (len(tokens) - 1) // length
    if n < 1:
        raise refused("E306", f"'{path}' has {len(tokens)} tokens; the model reads {length} at a time and one more")
    inputs = tokens[: n * length].reshape(n, length)
    targets = tokens[1 : n * length + 1].reshape(n, length)
    name = Path(path).stem
    parts = {
        part: EvalData(name, part, inputs[a:b], targets[a:b], tokens=True, source=spec)
        for part, (a, b) in _shares(n).items()
    }
    return dataset_of(name, parts, f"{how}, {n:,} sequences of {length}; the target of each is the token after it.")


def _shares(n: int) -> dict[str, tuple[int, int]]:
    """Return first and last sequence of each split; of few sequences one split serves for everything."""
    if n < 5:
        return {"validation": (0, n)}
    return {split: (round(first * n), round(last * n)) for split, (first, last) in SHARES.items()}


def _length(model: Model) -> int:
    """Return how many tokens an example has, or refuse a model that predicts none."""
    example, outputs = model.example_inputs[0], model.graph.output_shape
    reads = len(model.example_inputs) == 1 and example.dim() == 2 and not example.is_floating_point()
    if not reads or len(outputs) != 2 or outputs[0] != example.shape[1]:
        raise DataError(f"'{model.name}' is no model that predicts the token after each one of a text; give other data")
    return int(example.shape[1])


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except FileNotFoundError:
        raise DataError(f"cannot read '{path}': there is no such file") from None
    except UnicodeDecodeError as error:
        raise refused("E316", f"near byte {error.start} '{path}' is not UTF-8") from None
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror or 'it is damaged'}") from None


def _tokens(text: str, model: Model, known: int) -> tuple[Tokens, str]:
    """Return the tokens (n,) of a text, and what made them."""
    tokenizer = _tokenizer(split(model.name)[0])
    if tokenizer is not None:
        found = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return np.array(found, np.int64), "Tokens of the model's own tokenizer"
    if known < BYTES:
        raise refused("E312", f"'{model.name}' has no tokenizer here and knows {known} tokens, fewer than bytes")
    return np.frombuffer(text.encode(), np.uint8).astype(np.int64), "The bytes of the text are its tokens"


def _tokenizer(name: str) -> Any:
    """Return the tokenizer that comes with a model of Hugging Face, or None."""
    if not name.startswith(HUB) or "/" not in name:
        return None
    import transformers

    try:
        with hugging_face():
            return transformers.AutoTokenizer.from_pretrained(name.removeprefix(HUB), trust_remote_code=False)
    except (OSError, ValueError, KeyError):
        raise DataError(
            f"the tokenizer of '{name}' is not here and could not be downloaded; connect, or give tokens as .npz"
        ) from None
