"""The four headline figures as the headline component draws them."""

from dataclasses import dataclass
from typing import Any

from explorer.figures import words


@dataclass(frozen=True)
class Accuracy:
    """Shares of right answers (agreement with the dense model where there are no labels)."""

    label: str
    value: float
    dense: float
    interval: tuple[float, float]
    drop: float
    drop_interval: tuple[float, float]
    n: int
    total: int


@dataclass(frozen=True)
class Speed:
    """One latency comparison; milliseconds, ratios to dense."""

    runtime: str
    dense_ms: float
    pruned_ms: float
    ratio: float
    ratio_interval: tuple[float, float]
    null_interval: tuple[float, float]
    difference: bool
    how: str
    masked_ms: float | None = None  # of the masked model, where the slimmed one was measured
    masked_difference: bool = False


Drawn = dict[str, Any]


def no_accuracy(why: str, title: str) -> Drawn:
    """Return the accuracy metric without a figure, and why there is none."""
    return _metric("accuracy", "Accuracy", why, "–", "%", tone="muted", title=title)


def accuracy(known: Accuracy, tolerance: float, *, estimated: bool = False, pruned: bool = True) -> Drawn:
    """Return the accuracy metric; `tolerance` in points, `estimated` while a slider moves; dense when not `pruned`."""
    low, high = known.drop_interval if pruned else (known.interval[0] - known.dense, known.interval[1] - known.dense)
    half = 50 * (high - low)
    above = 100 * known.drop < -tolerance
    refining = known.n < known.total
    return _metric(
        "accuracy",
        known.label,
        "est. from single layers" if estimated else f"n {words.count(known.n)} · 95 %",
        words.rounded(100 * known.value),
        "%",
        change=words.points(known.drop) if pruned else "",
        tone="warn" if above else "plain",
        interval=f"± {words.rounded(half)}",
        dense=f"dense {words.rounded(100 * known.dense)}",
        busy=refining and not estimated,
        title=f"n {words.count(known.n)} of {words.count(known.total)} validation examples, Wilson 95 %; "
        "the change is paired with the dense model on the same examples.",
        glyph={
            "kind": "accuracy",
            "dense": 100 * known.dense,
            "value": 100 * known.value,
            "low": 100 * (known.dense + low),
            "high": 100 * (known.dense + high),
            "tolerance": 100 * known.dense - tolerance,
        },
    )


def size(storage: dict[str, int | None], slimmed: int | None = None) -> Drawn:
    """Return the size metric: the smaller of the slimmed model and the best encoding of the masked one."""
    best, dense = storage["best"] or 0, storage["dense"] or 1
    names = {"dense": "dense", "bitmask": "bitmask", "csr": "CSR", "n_m": "N:M"}
    encoding = next((label for name, label in names.items() if storage.get(name) == best), "best of each layer")
    is_slimmed = slimmed is not None and slimmed <= best
    shown = slimmed if slimmed is not None and is_slimmed else best
    figure, unit = words.size(shown)
    dense_figure, dense_unit = words.size(dense)
    masked = f"{encoding}, fp32"
    how = f"slimmed · masked {' '.join(words.size(best))}" if is_slimmed else masked
    title = "Smallest of dense, bitmask and CSR for each layer, index included. A masked file itself stays dense."
    if is_slimmed:
        title = f"The dense file of the slimmed model. Masked it takes {' '.join(words.size(best))} at best ({masked})."
    elif slimmed is not None:
        title += f" The dense file of the slimmed model takes {' '.join(words.size(slimmed))}."
    return _metric(
        "size",
        "Size",
        how,
        figure,
        unit,
        change=words.change(shown, dense) if shown != dense else "",
        dense=f"dense {dense_figure}{'' if dense_unit == unit else ' ' + dense_unit}",
        title=title,
        glyph={"kind": "bar", "fraction": shown / dense, "null": None},
    )


def flops(macs: int, effective_macs: int, slimmed_macs: int | None = None) -> Drawn:
    """Return the FLOPs metric: what runs; what a kernel that skips zeros would do is only the caption."""
    runs = macs if slimmed_macs is None else slimmed_macs
    figure, unit = words.operations(2 * runs)
    dense_figure, dense_unit = words.operations(2 * macs)
    skipped = " ".join(words.operations(2 * effective_macs))
    how = f"{skipped} skipping zeros" if effective_macs < runs else "as run"
    change, title = (
        "no change" if effective_macs < macs else "",
        "A mask puts zeros in place; they are multiplied all the same.",
    )
    if slimmed_macs is not None:
        how = f"slimmed · masked {dense_figure} {dense_unit}"
        change, title = words.change(runs, macs), "Channels, heads and blocks that go whole are taken out."
    return _metric(
        "flops",
        "FLOPs",
        how,
        figure,
        unit,
        change=change,
        tone="muted" if slimmed_macs is None else "plain",
        dense=f"dense {dense_figure}{'' if dense_unit == unit else ' ' + dense_unit}",
        title=f"2 × MACs of one example, as run. {title}",
        glyph={"kind": "bar", "fraction": runs / macs if macs else 1.0, "null": None},
    )


def latency(speed: Speed | None, state: str, action: Drawn | None) -> Drawn:
    """Return the latency metric; `state` is none, waiting, measuring or measured."""
    if speed is None:
        how = {"waiting": "waiting for a quiet machine", "measuring": "measuring", "failed": "failed"}.get(state)
        shown = how or "not measured for this plan"
        return _metric("latency", "Latency", shown, "–", "ms", tone="muted", busy=state == "measuring", action=action)
    digits = 2 if speed.dense_ms < 10 else 1
    how = f"{speed.how}, {speed.runtime}"
    title = f"{how}. Zeros alone do not make this runtime faster."
    if speed.masked_ms is not None:
        masked = f"{words.rounded(speed.masked_ms, digits)} ms"
        known = "differs from dense" if speed.masked_difference else "shows no difference to dense"
        title = f"{how}. The slimmed model; the masked one takes {masked} and {known}."
    return _metric(
        "latency",
        "Latency",
        speed.runtime if speed.masked_ms is None else f"slimmed · masked {masked}",
        words.rounded(speed.pruned_ms, digits),
        "ms",
        change=f"{words.signed(100 * (speed.ratio - 1))} %" if speed.difference else "no difference",
        tone="plain" if speed.difference else "muted",
        dense=f"dense {words.rounded(speed.dense_ms, digits)}",
        title=title,
        glyph={"kind": "bar", "fraction": speed.ratio, "null": list(speed.null_interval)},
        action=action,
    )


def _metric(key: str, label: str, how: str, value: str, unit: str, **more: Any) -> Drawn:
    blank: Drawn = {
        "change": "",
        "tone": "plain",
        "interval": "",
        "dense": "",
        "busy": False,
        "title": "",
        "glyph": None,
        "action": None,
    }
    return blank | {"key": key, "label": label, "how": how, "value": value, "unit": unit} | more
