"""An ONNX file as it lies in bytes: sizes, nesting, loops, domains and names, without the protobuf library.

A model of 1,760 bytes can keep onnx.checker and ONNX Runtime busy for ever, hence nothing is read before this.
"""

from collections import Counter

from pruning_core.guard import wire
from pruning_core.guard.limits import Limits
from pruning_core.guard.onnx_functions import check_functions
from pruning_core.guard.onnx_graph import Scope, Totals, add_function, add_graph
from pruning_core.guard.shown import shown
from pruning_core.refusals import refused

VERSION, GRAPH, OPSETS, TRAINING, FUNCTIONS = 1, 7, 8, 20, 25  # fields of ModelProto
NEWEST = {"": 28, "ai.onnx": 28, "ai.onnx.ml": 5}  # operator sets of the onnx package 1.23
NEWEST_VERSION = 64  # of the file format; it is 13 today


def check_onnx(data: memoryview, limits: Limits) -> str:
    """Return the kind; refuse an ONNX file by the first thing in it that is not to be read."""
    wired = wire.Wire(data)
    totals, graphs, functions, opsets = Totals(limits), list[Scope](), list[Scope](), Counter[str]()
    for number, kind, value, end in wire.fields(wired, 0, len(data)):
        if number == VERSION and (kind != wire.VARINT or not 0 < value < NEWEST_VERSION):
            raise refused("E220", "the file does not start as an ONNX model does")
        if kind != wire.BYTES:
            continue
        if number == GRAPH:
            graphs.append(add_graph(wired, value, end, totals, 0))
        elif number == FUNCTIONS:
            functions.append(add_function(wired, value, end, totals))
        elif number == OPSETS:
            _add_opset(wired, value, end, opsets)
        elif number == TRAINING:
            raise refused("E226", "the file holds graphs for training")
    if len(graphs) != 1:
        raise refused("E220", f"the file holds {len(graphs) or 'no'} graphs, an ONNX model holds one")
    check_functions(graphs[0], functions, limits)
    _check_opsets(opsets)
    return "onnx"


def _add_opset(data: wire.Wire, start: int, stop: int, opsets: Counter[str]) -> None:
    domain, version = "", 0
    for number, kind, value, end in wire.fields(data, start, stop):
        if number == 1 and kind == wire.BYTES:
            domain = bytes(data[value:end][:100]).decode("utf-8", "replace")
        elif number == 2 and kind == wire.VARINT:
            version = value
    opsets[domain] = max(opsets[domain], version)


def _check_opsets(opsets: Counter[str]) -> None:
    if not opsets.keys() & NEWEST:
        raise refused("E229", "the model names no operator set of ONNX")
    for domain, version in opsets.items():
        if domain in NEWEST and not 0 < version <= NEWEST[domain]:
            name = shown(domain or "ai.onnx")
            raise refused("E229", f"the model uses version {version} of {name}, 1 to {NEWEST[domain]} are known")
