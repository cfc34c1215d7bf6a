"""The tables of docs/performance.md and of the README, from the documents in docs/measured.

`python -m tests.benchmarks.performance` writes them anew; what has no document stays as it is.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import sample_models

ROOT = Path(__file__).parents[2]
MEASURED = ROOT / "docs" / "measured"
PAGES = (ROOT / "docs" / "performance.md", ROOT / "README.md")
Document = Mapping[str, Any]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)) + "\n"


def where(document: Document) -> str:
    """Return what was measured on."""
    machine = document["machine"]
    about = f"{machine['processor']}, {machine['cores']} cores, load {machine['load']:g}, torch {machine['torch']}"
    return f"\n{about}, {machine['threads']} thread.\n"


def times(value: float) -> str:
    """Return a ratio."""
    return f"{value:.1f} ×"


def percent(value: float, digits: int = 1) -> str:
    """Return a share; one that is not all never reads 100 %."""
    text = f"{100 * value:.{digits}f}"
    return f"{'below ' if value < 1 and float(text) == 100 else ''}{float(text):g} %"


def pair(percentiles: Document) -> str:
    """Return the median and the 95th percentile of wall time in milliseconds."""
    return f"{percentiles['wall_p50_ms']:.0f} / {percentiles['wall_p95_ms']:.0f}"


def sweeps(document: Document) -> str:
    """Exact and anytime sweeps against the naive loop."""
    head = ["model", "layers swept", "naive, s", "exact", "same answers", "anytime", "cells inside their tolerance"]
    rows = []
    for name, found in document["subjects"].items():
        naive, exact, anytime = found["naive"], found["exact"], found["anytime"]
        part = "" if naive["cells_measured"] == found["cells"] else f" ({naive['cells_measured']} cells timed)"
        inside = f"{percent(anytime['inside_tolerance'])} of {found['cells']}"
        layers = f"{found['layers_swept']} of {found['layers']}"
        compared = [times(exact["ratio_cpu"]), percent(exact["same_answers"], 2), times(anytime["ratio_cpu"]), inside]
        rows.append([name, layers, f"{naive['cpu_s']:.0f}{part}", *compared])
    untrained = [f"- {name}: weights {found['weights']}" for name, found in document["subjects"].items()]
    notes = [line for line in untrained if not line.endswith("weights trained")]
    return table(head, rows) + "\n" + "\n".join([*notes, ""]) + where(document)


def work(document: Document) -> str:
    """What a sweep saves, and what is left."""
    head = ["model", "examples used", "bracketed cells", "limit by operations", "share of the machine: naive", "exact"]
    rows = []
    for name, found in document["subjects"].items():
        anytime, exact = found["anytime"], found["exact"]
        shares = [percent(anytime["examples_used"]), percent(anytime["states"]["bracketed"])]
        limit = [times(exact["bound_by_operations"])]
        machine = [percent(found[kind]["share_of_limit"], 0) for kind in ("naive", "exact")]
        rows.append([name, *shares, *limit, *machine])
    rate = max(document["limit"].values()) / 1e9
    return table(head, rows) + f"\nThe machine's best rate in this run: {rate:.0f} GFLOP/s, fp32.\n"


def previews(document: Document) -> str:
    """The first map of all cells."""
    head = ["model", "time, s", "share of the naive loop", "layers", "Spearman across them at 0.7", "95 % interval"]
    rows = []
    for name, found in document["subjects"].items():
        preview = found["preview"]
        value, interval = preview["spearman_of_layers"], preview["spearman_interval"]
        known = ["–" if value is None else f"{value:.2f}", " to ".join(f"{end:.2f}" for end in interval or ()) or "–"]
        time = [f"{preview['cpu_s']:.2f}", percent(preview["share_of_naive"])]
        rows.append([name, *time, f"{preview['layers']}", *known])
    return table(head, rows)


def peers(document: Document) -> str:
    """Loops as other tools run them."""
    head = ["loop", *(f"{name}: {kind}" for name in document["subjects"] for kind in ("exact", "anytime"))]
    subjects = document["subjects"].values()
    loops = next(iter(subjects))["times_exact"]
    kinds = ("times_exact", "times_anytime")
    rows = [[loop, *(times(found[kind][loop]) for found in subjects for kind in kinds)] for loop in loops]
    return table(head, rows) + where(document)


def slider(document: Document) -> str:
    """From a released slider to the first accuracy with its interval."""
    head = ["model", "all layers, p50 / p95 ms", "slowest layer", "p50 / p95 ms", "layers outside the aim"]
    rows = []
    for name, found in document["samples"].items():
        slowest, outside = found["slowest_layer"], found["outside_the_aim"]
        left_out = f"{len(outside)} of {len(found['layers'])}"
        rows.append([name, pair(found["first_accuracy"]), slowest["name"], pair(slowest), left_out])
    aim = document["aim"]
    return table(head, rows) + f"\nAim: {aim['wall_p50_ms']} / {aim['wall_p95_ms']} ms, every layer.\n{where(document)}"


def memory(document: Document) -> str:
    """Peak memory beyond the model."""
    rows = [
        [name, *(f"{found[kind]['beyond_bytes'] / 1e6:.0f}" for kind in ("anytime", "exact"))]
        for name, found in document["subjects"].items()
    ]
    return table(["model", "anytime, MB", "exact, MB"], rows) + where(document)


def executors(document: Document) -> str:
    """One process, two, a cluster."""
    head = ["model", "executor", "wall, s", "until the first cell, s", "against one process", "after the first cell"]
    rows = []
    for name, found in document["subjects"].items():
        for who, wall in found["wall_s"].items():
            ratios = [times(found[key][who]) for key in ("times_one_process", "times_after_first_cell")]
            rows.append([name, who, f"{wall:.1f}", f"{found['first_cell_s'][who]:.1f}", *ratios])
    return table(head, rows) + where(document)


def stacking(document: Document) -> str:
    """All levels of a layer at once."""
    head = ["model", "one by one, s", "stacked, s", "stacked takes"]
    rows = [
        [name, f"{found['one_by_one']:.2f}", f"{found['stacked']:.2f}", times(found["ratio"])]
        for name, found in document["samples"].items()
    ]
    about = f"\n{document['n']} examples, {document['levels']} levels, every layer, on the {document['device']}.\n"
    return table(head, rows) + about + where(document)


def speed(sweeps: Document, slider: Document) -> str:
    """The README's table."""
    names = list(slider["samples"])
    found = [sweeps["subjects"][name] for name in names]
    first = [slider["samples"][name]["first_accuracy"] for name in names]
    accuracy = [f"{100 * sample_models.SAMPLES[name].test_accuracy:.2f}" for name in names]
    rows = [
        ["test accuracy of the sample, %", *accuracy],
        ["sweep with intervals against the naive loop", *(times(each["anytime"]["ratio_cpu"]) for each in found)],
        ["cells inside their tolerance", *(percent(each["anytime"]["inside_tolerance"]) for each in found)],
        ["exact sweep against the naive loop", *(times(each["exact"]["ratio_cpu"]) for each in found)],
        ["edit to first accuracy with interval, p50 / p95 ms", *(pair(each) for each in first)],
    ]
    return table(["what", *names], rows)


BLOCKS: dict[str, tuple[Callable[..., str], tuple[str, ...]]] = {
    "sweeps": (sweeps, ("sweeps",)),
    "work": (work, ("sweeps",)),
    "previews": (previews, ("sweeps",)),
    "peers": (peers, ("peers",)),
    "slider": (slider, ("slider",)),
    "memory": (memory, ("memory",)),
    "executors": (executors, ("executors",)),
    "stacking": (stacking, ("stacking",)),
    "speed": (speed, ("sweeps", "slider")),
}


def with_tables(text: str, folder: Path = MEASURED) -> str:
    """Return a page with the tables of what is in `folder`, between its marks."""
    for name, (block, needed) in BLOCKS.items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        paths = [folder / f"{part}.json" for part in needed]
        if begin in text and all(path.exists() for path in paths):
            content = block(*(json.loads(path.read_text("utf-8")) for path in paths))
            head, rest = text.split(begin)
            text = head + begin + content + end + rest.split(end)[1]
    return text


def main() -> None:
    """Write the pages."""
    for page in PAGES:
        page.write_text(with_tables(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
