"""`measure`: the dense model and the masked one side by side, every number with how it came about."""

from collections.abc import Mapping

from torch import Tensor, nn

from pruning_core.apply import masked_copy, masks_for
from pruning_core.data import EvalData, check_fits
from pruning_core.evaluate import IsCancelled, Outcome, Progress, predict
from pruning_core.latency import RUNTIMES, Latency, compare
from pruning_core.metrics import Measurement, Structure, measurements
from pruning_core.model import Model
from pruning_core.onnx_export import CHECK_SAMPLES, check_batches, largest_difference
from pruning_core.plan import Plan
from pruning_core.report import Document, Report, form_document, latency_document, layer_rows, weights_file

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
    masks: Mapping[str, Tensor] | None = None,
    calibration: EvalData | None = None,
    onnx: bytes | None = None,
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
) -> Report:
    """Measure the dense model, and the masked one when there is a plan or masks (which then stand for the plan's).

    Criteria that need data take `calibration`, else `data`. Latency is of `batch` examples, `seconds` for each runtime.
    `onnx`, the exported masked model, is checked against torch. Without data only what can be counted is reported.
    """
    if data is not None:
        check_fits(data, model.graph.input_shapes[0], model.graph.output_shape[-1])
    if masks is None and plan is not None:
        masks = masks_for(model, plan, calibration or data)
    masked = None if masks is None else masked_copy(model, dict(masks))
    forms = _measured(model, masked, data, progress, cancelled)
    wanted = runtimes if latency else ()
    inputs = model.example_inputs[0][:batch] if data is None else data.batch(slice(0, batch))
    times = {name: latency_of(model, masked, inputs, name, seconds, cancelled) for name in wanted}
    dense = form_document(forms[0], weights_file(model, None, model.module), latency_document(times, is_dense=True))
    pruned = None
    if masked is not None:
        pruned = form_document(forms[1], weights_file(model, plan, masked), latency_document(times, is_dense=False))
    return Report(
        model=model.name,
        data=data.name if data else "",
        split=data.split if data else "",
        dense=dense,
        masked=pruned,
        slimmed=None,
        certificate=certificate(masked, model, data, onnx),
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
    forms = [measurements(Outcome(dense, targets), Structure.from_module(model.graph, model.module))]
    if masked is not None:
        logits = predict(masked, data, progress=_shifted(progress, len(data), total), cancelled=cancelled)
        forms.append(measurements(Outcome(logits, targets, dense), Structure.from_module(model.graph, masked)))
    return forms


def _shifted(progress: Progress | None, start: int, total: int) -> Progress | None:
    return None if progress is None else lambda done, _: progress(start + done, total)


def latency_of(
    model: Model, masked: nn.Module | None, inputs: Tensor, name: str, seconds: float, cancelled: IsCancelled | None
) -> Latency:
    """Compare dense and masked in one runtime; without a masked model the dense one stands for it."""
    runtime = RUNTIMES[name]
    converted = runtime.convert(model.module, (inputs,), None)
    other = converted if masked is None else runtime.convert(masked, (inputs,), model.module)
    dense, pruned, null = (runtime.start(form, (inputs,), 1) for form in (converted, other, converted))
    return compare(dense, pruned, null=null, runtime=name, batch=len(inputs), seconds=seconds, cancelled=cancelled)


def certificate(masked: nn.Module | None, model: Model, data: EvalData | None, onnx: bytes | None) -> Document:
    """Return how far the forms of the model lie apart on real examples; null where it was not checked."""
    difference, samples = None, 0
    if onnx is not None:
        batches = check_batches(data, model.example_inputs)
        difference = largest_difference(onnx, masked or model.module, batches)
        samples = min(CHECK_SAMPLES, len(model.example_inputs[0] if data is None else data))
    return {
        "masked_vs_slimmed_max_abs_diff": None,
        "slimmed_vs_onnx_max_abs_diff": None,
        "masked_vs_onnx_max_abs_diff": difference,
        "samples": samples,
    }


def _how(forms: list[dict[str, Measurement]], times: Mapping[str, Latency]) -> dict[str, str]:
    how = {name: found.how for name, found in forms[-1].items()}
    how["size_bytes"] = "bytes of the weights as a safetensors file, zeros included"
    return how | {f"latency_ms {name}": time.how for name, time in times.items()}
