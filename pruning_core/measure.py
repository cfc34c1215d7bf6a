"""`measure`: the dense model and the masked one side by side, every number with how it came about."""

from collections.abc import Mapping

from torch import nn

from pruning_core.data import EvalData, Inputs, check_fits
from pruning_core.evaluate import IsCancelled, Outcome, Progress, predict
from pruning_core.graph import trace
from pruning_core.latency import RUNTIMES, Latency, compare
from pruning_core.metrics import Measurement, Structure, measurements
from pruning_core.model import Model
from pruning_core.onnx_export import CHECK_SAMPLES, check_batches, largest_difference
from pruning_core.plan import Plan
from pruning_core.report import Document, Report, form_document, latency_document, layer_rows, weights_file
from pruning_core.slim import Pruned, prune
from pruning_core.slimming import LivingModule, Slimmed

__all__ = ["Report", "measure"]


def measure(
    model: Model,
    data: EvalData | None,
    plan: Plan | None = None,
    *,
    latency: bool = False,
    runtimes: tuple[str, ...] = ("onnxruntime", "torch"),
    batch: int = 1,
    seconds: float = 4.0,
    pruned: Pruned | None = None,
    calibration: EvalData | None = None,
    onnx: bytes | None = None,
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
) -> Report:
    """Measure the dense model, and the masked and slimmed ones when there is a plan (or `pruned`, its forms).

    Criteria that need data take `calibration`, else `data`. Latency is of `batch` examples, `seconds` for each runtime.
    `onnx`, the exported smallest form, is checked against torch. Without data only what can be counted is reported.
    """
    if data is not None:
        check_fits(data, model.graph)
    if pruned is None and plan is not None:
        pruned = prune(model, plan, calibration or data, data=data)
    masked, slimmed = (None, None) if pruned is None else (pruned.masked, pruned.slimmed)
    forms = _measured(model, masked, data, progress, cancelled)
    wanted = runtimes if latency else ()
    examples = tuple(example[:batch] for example in model.example_inputs)
    inputs = examples if data is None else data.prepared(slice(0, batch))
    times = {name: latency_of(model, masked, inputs, name, seconds, cancelled) for name in wanted}
    dense = form_document(forms[0], weights_file(model, None, model.module), latency_document(times, is_dense=True))
    as_masked = as_slimmed = None
    if masked is not None:
        as_masked = form_document(forms[1], weights_file(model, plan, masked), latency_document(times, is_dense=False))
    if slimmed is not None:
        faster = {name: latency_of(model, slimmed.module, inputs, name, seconds, cancelled, True) for name in wanted}
        found = _of_slimmed(model, slimmed, data, cancelled)
        file = weights_file(model, plan, slimmed.module)
        as_slimmed = form_document(found, file, latency_document(faster, is_dense=False))
    return Report(
        model=model.name,
        data=data.name if data else "",
        split=data.split if data else "",
        dense=dense,
        masked=as_masked,
        slimmed=as_slimmed,
        certificate=certificate(pruned, model, data, onnx),
        layers=layer_rows(model, masked or model.module, plan),
        how=_how(forms, times),
    )


def _measured(
    model: Model,
    masked: nn.Module | None,
    data: EvalData | None,
    progress: Progress | None,
    cancelled: IsCancelled | None,
) -> list[dict[str, Measurement]]:
    """Return the measurements of the dense model, and of the masked one where there is one."""
    if data is None:
        return [measurements(Structure.from_module(model.graph, form)) for form in (model.module, masked) if form]
    total = len(data) * (1 if masked is None else 2)
    targets = None if data.targets is None else data.labels()
    dense = predict(model.module, data, progress=_shifted(progress, 0, total), cancelled=cancelled)
    forms = [
        measurements(
            Outcome(dense, targets, regression=data.is_regression), Structure.from_module(model.graph, model.module)
        )
    ]
    if masked is not None:
        logits = predict(masked, data, progress=_shifted(progress, len(data), total), cancelled=cancelled)
        forms.append(
            measurements(
                Outcome(logits, targets, dense, data.is_regression), Structure.from_module(model.graph, masked)
            )
        )
    return forms


def _of_slimmed(
    model: Model, slimmed: Slimmed, data: EvalData | None, cancelled: IsCancelled | None
) -> dict[str, Measurement]:
    """Return the measurements of the slimmed model; its own graph is traced, so that nothing is inferred."""
    structure = Structure.from_module(trace(slimmed.graph.eval(), model.example_inputs), slimmed.graph)
    if data is None:
        return measurements(structure)
    targets = None if data.targets is None else data.labels()
    dense, logits = (predict(form, data, cancelled=cancelled) for form in (model.module, slimmed.module))
    return measurements(Outcome(logits, targets, dense, data.is_regression), structure)


def _shifted(progress: Progress | None, start: int, total: int) -> Progress | None:
    return None if progress is None else lambda done, _: progress(start + done, total)


def latency_of(
    model: Model,
    pruned: nn.Module | None,
    inputs: Inputs,
    name: str,
    seconds: float,
    cancelled: IsCancelled | None,
    is_slimmed: bool = False,
) -> Latency:
    """Compare dense and pruned in one runtime; without a pruned model the dense one stands for it."""
    runtime = RUNTIMES[name]
    converted = runtime.convert(model.module, inputs, None)
    original = None if is_slimmed or isinstance(pruned, LivingModule) else model.module
    other = converted if pruned is None else runtime.convert(pruned, inputs, original)
    dense, changed, null = (runtime.start(form, inputs, 1) for form in (converted, other, converted))
    return compare(dense, changed, null=null, runtime=name, batch=len(inputs[0]), seconds=seconds, cancelled=cancelled)


def certificate(pruned: Pruned | None, model: Model, data: EvalData | None, onnx: bytes | None) -> Document:
    """Return how far the forms of the model lie apart on real examples; null where it was not checked."""
    slimmed = None if pruned is None else pruned.slimmed
    difference, samples = None, slimmed.samples if slimmed else 0
    if onnx is not None:
        batches = check_batches(data, model.example_inputs)
        difference = largest_difference(onnx, model.module if pruned is None else pruned.smallest, batches)
        samples = min(CHECK_SAMPLES, len(model.example_inputs[0] if data is None else data))
    return {
        "masked_vs_slimmed_max_abs_diff": slimmed and slimmed.difference,
        "slimmed_vs_onnx_max_abs_diff": difference if slimmed else None,
        "masked_vs_onnx_max_abs_diff": None if slimmed else difference,
        "samples": samples,
    }


def _how(forms: list[dict[str, Measurement]], times: Mapping[str, Latency]) -> dict[str, str]:
    how = {name: found.how for name, found in forms[-1].items()}
    how["size_bytes"] = "bytes of the weights as a safetensors file, zeros included"
    return how | {f"latency_ms {name}": time.how for name, time in times.items()}
