"""`pruning-explorer list`: what there is to choose from, read from the registries."""

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

from explorer.commands import shown

Row = dict[str, Any]
SEAMS = {  # seam -> where its registry stands
    "criteria": ("pruning_core.criteria", "CRITERIA"),
    "granularities": ("pruning_core.granularities", "GRANULARITIES"),
    "schedules": ("pruning_core.schedules", "SCHEDULES"),
    "allocations": ("pruning_core.allocation", "ALLOCATIONS"),
}


def run(what: str, everything: bool, as_json: bool) -> None:
    """Print the members of one seam."""
    rows = list(_registered(what) if what in SEAMS else READERS[what](everything))
    if as_json:
        shown.document(rows)
    elif rows:
        shown.table(
            ("Name", "Label", "What it is"), [(r["name"], r["label"], r["doc"]) for r in rows], ("Label", "What it is")
        )
    else:
        shown.line(f"There are no {what} yet: what is pruned is measured as it is, without further training.")


def _registered(what: str) -> Iterable[Row]:
    module, name = SEAMS[what]
    members: Mapping[str, Any] = getattr(import_module(module), name)
    for member in members.values():
        settings = {spec.name: spec.default for spec in member.settings.values()}
        label = member.label.format(**settings)
        yield {"name": member.name, "label": label, "doc": member.doc, "settings": settings}


def _models(everything: bool) -> Iterable[Row]:
    import sample_models

    for sample in sample_models.SAMPLES.values():
        yield {"name": sample.name, "label": sample.title, "doc": sample.description}
    if not everything:
        doc = "The classification models of torchvision, such as torchvision:resnet18; --all names them."
        yield {"name": "torchvision:NAME", "label": "torchvision", "doc": doc}
        return
    from pruning_core.loaders.torchvision_zoo import PREFIX, names

    for name in names():
        yield {"name": PREFIX + name, "label": name, "doc": "A classification model of torchvision."}


def _data(_: bool) -> Iterable[Row]:
    import sample_models

    for data in sample_models.DATASETS.values():
        doc = f"{len(data.class_names)} classes; {data.credit}; {data.licence}."
        yield {"name": data.name, "label": data.title, "doc": doc}


READERS: dict[str, Callable[[bool], Iterable[Row]]] = {
    "models": _models,
    "data": _data,
    "recoveries": lambda _: (),
}
