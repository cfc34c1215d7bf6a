"""The plan: what to prune, per layer. The one document that the app edits, the core applies and exports carry."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pruning_core.errors import PlanError
from pruning_core.registry import suggestion

D = TypeVar("D", bound="_Document")
Heads = Literal["head", "dimension"]
OPTIONS = ("channel_multiple", "through_norms", "heads")


class PlanOptions(Protocol):
    """What a plan, a sweep or a ranking says about all layers: which channels may go together, and how many stay."""

    @property
    def channel_multiple(self) -> int:
        """Rows of channels keep a multiple of this many."""

    @property
    def through_norms(self) -> bool:
        """Whether layer, group and RMS norms may lose channels: their statistics are of those that stay."""

    @property
    def heads(self) -> Heads:
        """Whether attention loses whole heads, or the same dimensions inside all of them."""


def options_of(source: PlanOptions) -> dict[str, Any]:
    """Return the options of `source` by name, as plans and sweeps take them."""
    return {name: getattr(source, name) for name in OPTIONS}


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class LayerPlan(_Document):
    """The wish for one layer; `settings` are those that its granularity and criterion declare."""

    sparsity: Annotated[float, Field(ge=0, le=1)] = 0.0
    granularity: str = "fine_grained"
    criterion: str = "l1"
    locked: bool = False
    update_weights: bool = True  # whether a criterion that refits what is kept (sparsegpt and others) may do so
    settings: dict[str, int | float | str] = {}


class ModelId(_Document):
    """Which model a plan was made for: its name and the hash of its weights."""

    name: str = ""
    sha256: str = ""


class Plan(_Document):
    """The whole choice; a layer left out stays dense."""

    version: Literal[1] = 1
    model: ModelId = ModelId()
    layers: dict[str, LayerPlan] = {}
    scope: Literal["layer", "model"] = "layer"
    seed: int = 0
    channel_multiple: Annotated[int, Field(ge=1)] = 1  # widths of pruned rows are rounded up to a multiple
    through_norms: bool = False  # layer, group and RMS norms may lose channels
    heads: Heads = "head"  # "dimension": attention loses the same dimensions inside all heads

    def layer(self, name: str) -> LayerPlan:
        """Return the wish for layer `name`; dense when the plan does not name it."""
        return self.layers.get(name, LayerPlan())

    def with_layer(self, name: str, **changes: Any) -> "Plan":
        """Return a copy in which layer `name` has `changes`."""
        return self.with_layers({name: changes})

    def with_layers(self, changes: dict[str, dict[str, Any]]) -> "Plan":
        """Return a copy with changes to several layers at once (one step of undo)."""
        wishes = {name: self.layer(name).model_dump() | fields for name, fields in changes.items()}
        changed = {name: _checked(LayerPlan, wish) for name, wish in wishes.items()}
        return self.model_copy(update={"layers": self.layers | changed})

    def to_json(self) -> str:
        """Return the document as JSON text, layers in order."""
        return self.model_dump_json(indent=2)

    @staticmethod
    def from_json(text: str) -> "Plan":
        """Read a document; anything that is not a plan is refused in one sentence."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise PlanError(f"the plan is not JSON: {error}") from None
        return _checked(Plan, document)

    @staticmethod
    def read(path: str | Path) -> "Plan":
        """Read the plan file at `path`."""
        try:
            return Plan.from_json(Path(path).read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise PlanError(f"cannot read the plan {path}: {error}") from None


def _checked(kind: type[D], document: Any) -> D:
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "plan"
        if first["type"] == "extra_forbidden":
            raise PlanError(f"{where}: unknown field; {_meant(kind, first['loc'])}") from None
        given = f", got {first['input']!r}" if not isinstance(first["input"], dict) else ""
        raise PlanError(f"{where}: {first['msg'].lower()}{given}") from None


def _meant(kind: type[_Document], place: tuple[int | str, ...]) -> str:
    owner = kind if len(place) == 1 else ModelId if place[0] == "model" else LayerPlan
    return suggestion(str(place[-1]), owner.model_fields)
