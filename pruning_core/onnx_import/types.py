"""ONNX element types and constants as torch has them."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor

from pruning_core.onnx_import.values import Unsupported, known_of

DTYPES: dict[int, torch.dtype] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.UINT8: torch.uint8,
    TensorProto.INT8: torch.int8,
    TensorProto.UINT16: torch.uint16,
    TensorProto.INT16: torch.int16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.BOOL: torch.bool,
    TensorProto.FLOAT16: torch.float16,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.UINT32: torch.uint32,
    TensorProto.UINT64: torch.uint64,
    TensorProto.COMPLEX64: torch.complex64,
    TensorProto.COMPLEX128: torch.complex128,
    TensorProto.BFLOAT16: torch.bfloat16,
}
NARROW: dict[int, Any] = {  # types of stored weights alone: the next wider one holds them
    TensorProto.INT4: np.int8,
    TensorProto.UINT4: np.uint8,
    TensorProto.FLOAT8E4M3FN: np.float32,
    TensorProto.FLOAT8E4M3FNUZ: np.float32,
    TensorProto.FLOAT8E5M2: np.float32,
    TensorProto.FLOAT8E5M2FNUZ: np.float32,
}


def dtype_of(number: int) -> torch.dtype:
    """Return torch's type for the number of one of ONNX's."""
    if number not in DTYPES:
        name = TensorProto.DataType.Name(number) if number in TensorProto.DataType.values() else str(number)
        raise Unsupported(f"values of type {name} are not supported")
    return DTYPES[number]


def tensor_of(proto: TensorProto) -> Tensor:
    """Return a stored tensor; data outside the file is refused where the file is read, not here."""
    array = numpy_helper.to_array(proto)
    if proto.data_type in NARROW:
        return torch.from_numpy(array.astype(NARROW[proto.data_type]))
    dtype = dtype_of(proto.data_type)
    if dtype == torch.bfloat16:
        return torch.from_numpy(np.array(array, dtype=np.float32)).to(dtype)
    return torch.from_numpy(np.array(array))  # a copy: what protobuf holds is not to be written to


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Return the attributes of a node as numbers, text, lists, tensors and graphs."""
    found = {attribute.name: _plain(onnx.helper.get_attribute_value(attribute)) for attribute in node.attribute}
    if node.op_type == "Constant":
        return found
    return {name: known_of(value) if isinstance(value, Tensor) else value for name, value in found.items()}


def constant_of(attributes: Mapping[str, Any]) -> Tensor:
    """Return the tensor of a Constant node."""
    for attribute, value in attributes.items():
        if attribute == "value":
            found: Tensor = value
            return found
        if attribute in ("value_float", "value_floats"):
            return torch.tensor(value, dtype=torch.float32)
        if attribute in ("value_int", "value_ints"):
            return torch.tensor(value, dtype=torch.int64)
    raise Unsupported("a constant that is no tensor of numbers is not supported")


def scope_of(node: onnx.NodeProto) -> str:
    """Return the module that torch's exporter notes at a node: the last of its scopes but the operator itself."""
    for entry in node.metadata_props:
        if entry.key == "pkg.torch.onnx.name_scopes":
            scopes = re.findall(r"'([^']*)'", entry.value)
            return scopes[-2] if len(scopes) > 1 else ""
    return ""


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, TensorProto):
        return tensor_of(value)
    if isinstance(value, onnx.SparseTensorProto):
        raise Unsupported("sparse tensors are not supported")
    if isinstance(value, int | float | str | onnx.GraphProto):
        return value
    return [_plain(item) for item in value]
