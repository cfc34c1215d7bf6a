"""What a session shows, as one frozen value and as text for an address."""

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pruning_core as pc
from pruning_core.plan import Plan

LINK_VERSION = 1


@dataclass(frozen=True)
class ExplorerState:
    """What the user sees and chose; model objects are not state, `resources` resolves the names."""

    model: str | None = None
    data: str | None = None
    plan: Plan = field(default_factory=Plan)
    past: tuple[Plan, ...] = ()
    future: tuple[Plan, ...] = ()
    layer: str | None = None
    tolerance: float = 1.0  # points
    tab: str = "Weights"
    push: int = 0  # grows whenever Python changed what components show
    notice: str = ""  # one sentence about what was refused
    view: Mapping[str, Any] = field(default_factory=dict)  # options of single views


def to_link(state: ExplorerState) -> str:
    """Return the state as text for an address."""
    plan = state.plan.model_dump(mode="json", exclude_defaults=True)
    document = {
        "v": LINK_VERSION,
        "model": state.model,
        "data": state.data,
        "plan": plan,
        "layer": state.layer,
        "tolerance": state.tolerance,
    }
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(document).encode(), 9)).decode().rstrip("=")


def from_link(text: str) -> ExplorerState:
    """Read `to_link`; anything else gives the start state with a notice."""
    try:
        padded = text + "=" * (-len(text) % 4)
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(base64.urlsafe_b64decode(padded), 1 << 20)
        document = json.loads(raw)
        if document["v"] != LINK_VERSION:
            raise ValueError("another version")
        plan = Plan.from_json(json.dumps({"version": 1} | document["plan"]))
        return ExplorerState(
            model=_name(document["model"]),
            data=_name(document["data"]),
            plan=plan,
            layer=_name(document["layer"]),
            tolerance=_tolerance(document["tolerance"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError, zlib.error, pc.PruningError):
        return ExplorerState(notice="The link could not be read, so this is a fresh start.")


def _name(value: Any) -> str | None:
    if not isinstance(value, str | None):
        raise TypeError("a name is text")
    (value or "").encode()  # a lone surrogate is a ValueError here, and a crash wherever it would be shown
    return value or None


def _tolerance(value: Any) -> float:
    points = float(value)
    if not 0 < points <= 100:
        raise ValueError("a tolerance lies between 0 and 100 points")
    return points
