"""Torch modules as ONNX files, by either exporter."""

import io
import logging
import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn


def exported(
    module: nn.Module, inputs: tuple[Tensor, ...], *, dynamo: bool, opset: int | None = None, is_open: bool = True
) -> onnx.ModelProto:
    """Return `module` as torch exports it, with an open batch or with that of `inputs`."""
    names = [f"input_{i}" for i in range(len(inputs))]
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # notes of the exporters about themselves
        if not dynamo:
            open_batch = {name: {0: "batch"} for name in names} if is_open else None
            options = {"dynamo": False, "input_names": names, "dynamic_axes": open_batch, "opset_version": opset}
            torch.onnx.export(module, inputs, buffer, **options)
            return onnx.load_from_string(buffer.getvalue())
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        shapes = tuple({0: torch.export.Dim.DYNAMIC} for _ in inputs) if is_open else None
        program = torch.onnx.export(
            module, inputs, dynamo=True, dynamic_shapes=shapes, opset_version=opset, verbose=False
        )
    return program.model_proto


def saved(proto: onnx.ModelProto, folder: Path) -> str:
    """Write a model as one file; return its path."""
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return str(path)
