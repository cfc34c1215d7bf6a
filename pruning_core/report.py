"""`Report`: what `measure` found, as the documents that the command line prints and exports carry."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from safetensors.torch import save
from torch import nn

from pruning_core.evaluate import Outcome
from pruning_core.latency import Latency
from pruning_core.metrics import METRICS, Measurement, Structure
from pruning_core.model import Model
from pruning_core.plan import Plan

Document = dict[str, Any]
_OF_ANSWERS = tuple(name for name, member in METRICS.items() if member.reads is Outcome)
_COUNTS = "params nonzero_params sparsity model_sparsity macs effective_macs".split()
_STORAGE = "dense bitmask csr n_m best".split()


@dataclass(frozen=True)
class Report:
    """What was measured: a document of figures for each form of the model, and what was checked."""

    model: str
    data: str
    split: str
    dense: Document
    masked: Document | None  # None without a plan
    slimmed: Document | None
    certificate: Document
    layers: tuple[Document, ...]
    how: Mapping[str, str]  # metric -> how it was measured
    files: tuple[str, ...] = ()
    left_dense: Mapping[str, str] = field(default_factory=dict)  # layer -> why nothing was removed though asked for

    def document(self) -> Document:
        """Return the report as plain JSON values."""
        names = "model data split dense masked slimmed certificate files layers left_dense how".split()
        document: Document = json.loads(json.dumps({name: getattr(self, name) for name in names}))
        return document

    def to_json(self) -> str:
        """Return the report as JSON text."""
        return json.dumps(self.document(), indent=2, ensure_ascii=False, allow_nan=False)


def form_document(found: Mapping[str, Measurement], weights: bytes, latency_ms: Document) -> Document:
    """Return the document `M` of one form of the model; what could not be measured is null."""
    document: Document = {name: found[name].value for name in _COUNTS}
    for name in _OF_ANSWERS:
        document[name] = found[name].value if name in found else None
        document[f"{name}_interval"] = found[name].interval if name in found else None
    sizes = {name: found.get(f"storage_{name}") for name in _STORAGE}
    return document | {
        "n": next((m.n for m in found.values() if m.n is not None), None),
        "size_bytes": len(weights),
        "storage": {name: size and size.value for name, size in sizes.items()},
        "latency_ms": latency_ms,
    }


def latency_document(times: Mapping[str, Latency], is_dense: bool) -> Document:
    """Return the latency part of `M`; the dense model's ratio is that of the null."""
    return {
        name: {
            "median": time.dense_ms if is_dense else time.pruned_ms,
            "wall_median": time.dense_wall_ms if is_dense else time.pruned_wall_ms,
            "clock": time.clock,
            "ratio_to_dense": time.null_ratio if is_dense else time.ratio_to_dense,
            "ratio_interval": time.null_interval if is_dense else time.ratio_interval,
            "difference": not is_dense and time.difference,
            "device": time.device,
            "machine": time.machine,
            "threads": time.threads,
            "batch": time.batch,
        }
        for name, time in times.items()
    }


def layer_rows(model: Model, module: nn.Module, plan: Plan | None) -> tuple[Document, ...]:
    """Return one row for each prunable layer: what was asked for and what is there."""
    kept = Structure.from_module(model.graph, module).kept
    rows = []
    for layer in model.graph.layers:
        wish = plan.layer(layer.name) if plan is not None else None
        share = kept[layer.name] / layer.n_weights
        rows.append(
            {
                "name": layer.name,
                "kind": layer.kind,
                "weight_shape": layer.weight_shape,
                "weights": layer.n_weights,
                "kept": kept[layer.name],
                "target_sparsity": wish and wish.sparsity,
                "measured_sparsity": 1 - share,
                "granularity": wish and wish.granularity,
                "criterion": wish and wish.criterion,
                "macs": layer.macs,
                "effective_macs": round(layer.macs * share),
            }
        )
    return tuple(rows)


def weights_file(model: Model, plan: Plan | None, module: nn.Module) -> bytes:
    """Return the state of `module` as a safetensors file; it names the model and the hash of the plan."""
    notes = {"format": "pt", "model": model.name}
    if plan is not None:
        notes["plan_sha256"] = sha256(plan.to_json().encode()).hexdigest()
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in module.state_dict().items()}
    return save(tensors, notes)
