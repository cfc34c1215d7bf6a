"""`pruning-explorer list`: what there is to choose from, read from the registries."""

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

from explorer.commands import shown

Row = dict[str, Any]
SEAMS = {  # seam -> where its registry stands
    "criteria": ("pruning_core.criteria", "CRITERIA"),
    "granularities": ("pruning_core.granularities", "GRANULARITIES"),
    "selections": ("pruning_core.selection", "SELECTIONS"),
    "schedules": ("pruning_core.schedules", "SCHEDULES"),
    "allocations": ("pruning_core.allocation", "ALLOCATIONS"),
}

DETAILS = {"criteria": ("requirements",), "selections": ("unit",)}  # seam -> what else its members say
NOT_TYPED = ("sample", "upload")  # loaders whose names stand in a list of their own, or only in the app
COLUMNS = {"Name": "name", "Label": "label", "Needs": "requirements", "Number": "unit", "What it is": "doc"}


def run(what: str, everything: bool, as_json: bool) -> None:
    """Print the members of one seam."""
    rows = list(_registered(what) if what in SEAMS else READERS[what](everything))
    if as_json:
        shown.document(rows)
    elif rows:
        columns = {name: key for name, key in COLUMNS.items() if key in rows[0]}
        shown.table(
            tuple(columns), [[_words(row[key]) for key in columns.values()] for row in rows], tuple(columns)[1:]
        )
    else:
        shown.line(f"There are no {what} yet: what is pruned is measured as it is, without further training.")


def _registered(what: str) -> Iterable[Row]:
    module, name = SEAMS[what]
    members: Mapping[str, Any] = getattr(import_module(module), name)
    for member in members.values():
        settings = {spec.name: spec.default for spec in member.settings.values()}
        label = member.label.format(**settings)
        row = {"name": member.name, "label": label, "doc": member.doc, "settings": settings}
        yield row | {field: getattr(member, field) for field in DETAILS.get(what, ())}


def _words(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else "; ".join(value)


def _models(everything: bool) -> Iterable[Row]:
    import sample_models
    from pruning_core.loaders import MODEL_LOADERS

    for sample in sample_models.SAMPLES.values():
        yield {"name": sample.name, "label": sample.title, "doc": sample.description}
    yield from _forms(MODEL_LOADERS, everything)


def _data(everything: bool) -> Iterable[Row]:
    import sample_models
    from pruning_core.loaders import DATA_LOADERS

    for data in sample_models.DATASETS.values():
        doc = f"{len(data.class_names)} classes; {data.credit}; {data.licence}."
        yield {"name": data.name, "label": data.title, "doc": doc}
    yield from _forms(DATA_LOADERS, everything)


def _forms(loaders: Mapping[str, Any], everything: bool) -> Iterable[Row]:
    """What a name can look like besides those of samples; `everything` names what a loader knows by name."""
    for loader in loaders.values():
        label, doc = loader.name.replace("_", " "), (loader.load.__doc__ or "").split("\n")[0]
        if loader.name in NOT_TYPED:
            continue
        names = list(loader.names()) if everything else []
        yield from ({"name": name, "label": title, "doc": doc} for name, title in names)
        if not names:
            yield {"name": loader.form, "label": label, "doc": doc}


READERS: dict[str, Callable[[bool], Iterable[Row]]] = {
    "models": _models,
    "data": _data,
    "recoveries": lambda _: (),
}
