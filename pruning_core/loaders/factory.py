"""A model that a function of your own makes, `package.module:factory`; what it names must be trusted, since it runs."""

import importlib
import os
import re
import sys
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from pruning_core.errors import ModelError, PruningError, UnknownName
from pruning_core.loaders.options import split
from pruning_core.loaders.seam import model_loader
from pruning_core.loaders.untrained import examples, seed_zero
from pruning_core.model import Architecture, Model
from pruning_core.refusals import refused
from pruning_core.registry import suggestion

FORM = "package.module:factory"
_DOTTED = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_FACTORY = re.compile(rf"({_DOTTED}):({_DOTTED})")


def is_factory(spec: str) -> bool:
    """Whether the name is written as that of a function in a module."""
    return _FACTORY.fullmatch(split(spec)[0]) is not None


def made(spec: str) -> Any:
    """Return what the factory returns, the same random numbers drawn each time, or refuse in a sentence."""
    name = split(spec)[0]
    factory = _found(name)
    if isinstance(factory, nn.Module) or not callable(factory):
        return factory
    try:
        with seed_zero():
            return factory()
    except PruningError:
        raise
    except Exception as error:
        raise ModelError(f"'{name}' failed: {_words(error)}; it is called without arguments") from error


@model_loader(
    "factory",
    form=FORM,
    can_load=is_factory,
    takes=("input",),
    runs_code=True,
    refusal="E249",
    untrained=lambda spec, _: load_factory(spec),
)
def load_factory(spec: str) -> Model:
    """Load the nn.Module, (nn.Module, example inputs) or pc.Model that a function of an importable module returns."""
    name, options = split(spec)
    found = made(spec)
    if isinstance(found, Model):
        shown = examples(options.get("input"), found.example_inputs)
        architecture = found.architecture or _architecture(name, ".module")
        return replace(found, name=spec, example_inputs=shown, architecture=architecture)
    module, given = found if isinstance(found, tuple) and len(found) == 2 else (found, ())
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"'{name}' returns {type(found).__name__}; it returns nn.Module, (nn.Module, example inputs) or pc.Model"
        )
    inputs = examples(options.get("input"), (given,) if isinstance(given, Tensor) else tuple(given))
    if not inputs or not all(isinstance(each, Tensor) for each in inputs):
        raise refused("E233", f"'{name}' returns no example inputs, so the shape of an input is not known")
    architecture = _architecture(name, "" if module is found else "[0]")
    return Model(spec, module, inputs, title=name, architecture=architecture, note=f"built by {name}")


def _architecture(name: str, part: str) -> Architecture:
    module, _, factory = name.partition(":")
    call = "" if isinstance(_found(name), nn.Module) else "()"
    return Architecture(f"import {module}", f"{module}.{factory}{call}{part}")


def _found(name: str) -> Any:
    """Return what the name means; modules beside the program that was started are found too."""
    module_name, _, path = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ModelError(f"'{module_name}' imports '{error.name}', which is not installed; install it") from None
        raise UnknownName(f"there is no module '{module_name}'; start in its folder, or install it") from None
    except Exception as error:
        raise ModelError(f"'{module_name}' cannot be imported: {_words(error)}; mend it") from error
    for part in path.split("."):
        if not hasattr(found, part):
            known = [known for known in dir(found) if not known.startswith("_")]
            raise UnknownName(f"'{module_name}' has no '{path}'; {suggestion(part, known)}")
        found = getattr(found, part)
    return found


def _words(error: Exception) -> str:
    """Return the kind of an error with the first line of what it says."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}" if str(error) else type(error).__name__
