"""Models of Hugging Face, `hf:gpt2` (small, random) or `hf:OWNER/NAME` and `hf:./FOLDER` (trained, safetensors only).

transformers is imported when a name is first asked for; code that a repository brings along is never run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from inspect import getsource
from typing import Any

import torch
from torch import Tensor

from pruning_core.data import Preprocessing
from pruning_core.errors import ModelError, UnknownName
from pruning_core.loaders import logits
from pruning_core.loaders.hugging_face_small import SIZE, SMALL
from pruning_core.loaders.network import NOT_THERE, hugging_face
from pruning_core.loaders.options import split
from pruning_core.loaders.seam import model_loader
from pruning_core.loaders.untrained import BATCH, RANDOM, examples, seed_zero
from pruning_core.model import Architecture, Model
from pruning_core.registry import suggestion

PREFIX = "hf:"
LONGEST = 128  # tokens of an example
TASKS = {  # end of an architecture's name -> automatic class
    "ForImageClassification": "AutoModelForImageClassification",
    "ForSequenceClassification": "AutoModelForSequenceClassification",
    "ForCausalLM": "AutoModelForCausalLM",
    "LMHeadModel": "AutoModelForCausalLM",
    "ForMaskedLM": "AutoModelForMaskedLM",
}


def _untrained(spec: str, n_classes: int | None) -> Model:
    with _quiet():
        kind, config = _described(spec)
        if n_classes is not None:
            config.num_labels = n_classes
        return _model(spec, kind, config, _random(kind, config))


@model_loader(
    "hugging_face",
    form="hf:NAME",
    can_load=lambda spec: spec.startswith(PREFIX),
    takes=("input",),
    untrained=_untrained,
)
def load_hugging_face(spec: str) -> Model:
    """Load a model; random weights (seed 0) when there are no trained ones to be had, and the note says so."""
    with _quiet():
        kind, config = _described(spec)
        name = _name(spec)
        inner, note = (_random(kind, config), RANDOM) if name in SMALL else _trained(name, kind, config)
        return replace(_model(spec, kind, config, inner), note=note)


def _name(spec: str) -> str:
    return split(spec)[0].removeprefix(PREFIX)


def _transformers() -> Any:
    try:
        import transformers
    except ModuleNotFoundError:
        raise ModelError("transformers is not installed; pip install pruning-explorer[hub]") from None
    return transformers


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library from speaking of what a note says."""
    speaking = _transformers().logging
    before = speaking.get_verbosity()
    speaking.set_verbosity_error()
    speaking.disable_progress_bar()
    try:
        yield
    finally:
        speaking.set_verbosity(before)


def _described(spec: str) -> tuple[str, Any]:
    """Return the automatic class and the configuration of a model."""
    name = _name(spec)
    if name in SMALL:
        kind, settings = SMALL[name]
        return kind, _transformers().AutoConfig.for_model(name, **settings)
    if "/" not in name:
        raise UnknownName(f"there is no small model 'hf:{name}'; {suggestion(name, SMALL)}; others are hf:OWNER/NAME")
    try:
        with hugging_face():
            config = _transformers().AutoConfig.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, KeyError):
        how = "check the name and the network, or download it before with `hf download`"
        raise ModelError(f"'{spec}' is not here and could not be downloaded, or its kind is not known; {how}") from None
    built = (config.architectures or ["an unnamed kind"])[0]
    kind = next((kind for end, kind in TASKS.items() if built.endswith(end)), "")
    if not kind:
        raise ModelError(f"'{spec}' is {built}; what classifies pictures or texts, or is a language model, works")
    return kind, config


def _random(kind: str, config: Any) -> Any:
    with seed_zero():
        return getattr(_transformers(), kind).from_config(config, dtype=torch.float32)


def _trained(name: str, kind: str, config: Any) -> tuple[Any, str]:
    """Return the model with its trained weights where they can be had, and which it has."""
    options = {"dtype": torch.float32, "use_safetensors": True, "trust_remote_code": False}
    try:
        with hugging_face(), seed_zero():
            inner, found = getattr(_transformers(), kind).from_pretrained(name, output_loading_info=True, **options)
    except (OSError, ValueError, RuntimeError):
        return _random(kind, config), NOT_THERE
    stored = str(getattr(config, "dtype", None) or "float32").removeprefix("torch.")
    note = f"trained weights of {name}" + ("" if stored == "float32" else f"; {stored} turned into float32")
    if missing := sorted(found["missing_keys"]):
        note += f"; random (seed 0), since they were never trained: {', '.join(missing[:4])}"
    return inner, note


def _model(spec: str, kind: str, config: Any, inner: Any) -> Model:
    module = logits.Logits(inner).eval()
    settings = {key: value for key, value in config.to_diff_dict().items() if key != "transformers_version"}
    made = f"transformers.{kind}.from_config(transformers.AutoConfig.for_model(**{settings!r}), dtype=torch.float32)"
    return Model(
        name=spec,
        module=module,
        example_inputs=examples(split(spec)[1].get("input"), (_example(kind, config),)),
        title=_name(spec),
        architecture=Architecture(f"import torch\nimport transformers\n{getsource(logits)}", f"Logits({made})"),
        preprocessing=_preprocessing(_name(spec)) if "Image" in kind else None,
    )


def _example(kind: str, config: Any) -> Tensor:
    """Return pixels (batch, channels, height, width), or tokens (batch, length)."""
    if "Image" not in kind:
        return torch.zeros(BATCH, min(LONGEST, getattr(config, "max_position_embeddings", LONGEST)), dtype=torch.int64)
    size = getattr(config, "image_size", SIZE if not config.architectures else 224)
    height, width = (size, size) if isinstance(size, int) else size
    return torch.zeros(BATCH, config.num_channels, height, width)


def _preprocessing(name: str) -> Preprocessing | None:
    """Return how pixels are prepared, where the repository says so."""
    if name in SMALL:
        return None
    try:
        with hugging_face():
            said, _ = _transformers().ImageProcessingMixin.get_image_processor_dict(name)
    except (OSError, ValueError):
        return None
    scale = said.get("rescale_factor", 1 / 255) if said.get("do_rescale", True) else 1.0
    return Preprocessing(scale, tuple(said.get("image_mean", (0.0,))), tuple(said.get("image_std", (1.0,))))
