"""Is a model given its inputs as it was trained? Where it answers no better than chance, common ways are tried."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pruning_core.data import Dataset, EvalData, Preprocessing
from pruning_core.evaluate import Outcome, predict
from pruning_core.intervals import Interval, wilson
from pruning_core.loaders.preparing import OWN
from pruning_core.loaders.presets import PRESETS, are_pixels, on_stored
from pruning_core.model import Model
from pruning_core.positions import are_scores
from pruning_core.preprocessing import READ_LAST, Channels

NEAR = 1.5  # times the share of right answers that guessing gives


@dataclass(frozen=True)
class PreparingFinding:
    """Another preparation with which far more answers are right, on the same examples."""

    option: str  # what to add to the name of the data, such as `+preset@imagenet`
    preprocessing: Preprocessing
    n: int
    before: float  # accuracy as prepared now
    after: float
    interval: Interval  # 95 % of `after`, Wilson
    chance: float

    @property
    def sentence(self) -> str:
        """What was found, with its numbers, and what to do."""
        low, high = (f"{end:.1%}" for end in self.interval)
        return (
            f"The model is right on {self.before:.1%} of {self.n:,} examples, near chance ({self.chance:.1%}); "
            f"prepared as {self.preprocessing} it is right on {self.after:.1%} (95 % interval {low} to {high}): "
            f"use {self.option}."
        )


def suggest_preprocessing(model: Model, dataset: Dataset, n: int = 256) -> tuple[PreparingFinding, ...]:
    """Return the preparation that does much better on `n` validation examples, where accuracy is near chance now.

    Much better: the 95 % intervals do not overlap. Nothing is said of data without classes, or that are no pixels.
    """
    data = dataset.validation.take(n)
    if not data.has_classes or data.inputs.ndim != 4 or not are_pixels(data):
        return ()
    if not are_scores(model.graph.output_shape):
        return ()
    before, chance = _correct(model, data), 1 / model.graph.output_shape[-1]
    low, high = wilson(before, len(data))
    if low > NEAR * chance:
        return ()
    found = [
        (_correct(model, replace(data, preprocessing=other)), option, other) for option, other in _others(model, data)
    ]
    after, option, other = max(found, key=lambda one: one[0], default=(0, "", data.preprocessing))
    interval = wilson(after, len(data))
    if interval[0] <= high:
        return ()
    size = len(data)
    return (PreparingFinding(option, other, size, before / size, after / size, interval, chance),)


def _correct(model: Model, data: EvalData) -> int:
    return int(Outcome(predict(model.module, data), data.labels()).correct.double().mean() * len(data) + 0.5)


def _others(model: Model, data: EvalData) -> Iterator[tuple[str, Preprocessing]]:
    """Yield the option and what it does: the model's own preparation, and all presets that fit, in BGR too."""
    now = data.preprocessing
    channels = data.shapes[0][-1 if now.layout in READ_LAST else 0]
    own = {OWN: model.preprocessing} if model.preprocessing is not None else {}
    for name, pixels in {**own, **{name: preset.pixels for name, preset in PRESETS.items()}}.items():
        if {len(pixels.mean), len(pixels.std)} - {1, channels}:
            continue
        option, plain = f"+preset@{name}", on_stored(pixels, data)
        other = replace(now, scale=plain.scale, mean=plain.mean, std=plain.std, channels=_order(now, plain.channels))
        if other != now:
            yield option, other
        if channels == 3 and other.channels == "stored":
            yield f"{option}+channels@bgr", replace(other, channels="reversed")


def _order(now: Preprocessing, preset: Channels) -> Channels:
    return "repeated" if now.channels == "repeated" else preset
