"""SEAM loaders: one file per format. `load_model("lenet_300_100")`, `load_data("digits.npz")`.

A loader says by the name alone whether it is its turn (`can_load`), and loads. Adding one: write the file, decorate the
function with `@model_loader(...)` or `@data_loader(...)`, and name the file below.
"""

from importlib import import_module

from pruning_core.loaders.seam import (
    DATA_LOADERS,
    MODEL_LOADERS,
    find_data,
    find_model,
    load_data,
    load_model,
    preset,
)

__all__ = ["DATA_LOADERS", "FORMATS", "MODEL_LOADERS", "find_data", "find_model", "load_data", "load_model", "preset"]

FORMATS = (  # in the order in which they are asked; slowest last
    *("samples", "re_estimated", "uploads"),
    *("npz", "npy", "table", "text", "image_zip", "generated"),
    *("image_folder", "hugging_face_data", "torchvision_data"),
    *("onnx", "safetensors_file", "whole_module", "state_dict", "exported_program"),
    *("hugging_face", "timm_zoo", "torchvision_zoo", "factory", "factory_data"),
)

for _format in FORMATS:
    import_module(f"{__name__}.{_format}")  # registers its members
