"""The onnx package's own tests: the share of them that pass is printed and may not fall."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from pruning_core.errors import PruningError
from pruning_core.onnx_import import import_model
from tests.pruning_core.onnx_import.node_cases import cases, is_of_numbers, passes

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
LEAST_NODES = 1547  # of 1,681 with onnx 1.23: the others are refused with a reason
LEAST_MODELS = {"pytorch-converted": 82, "pytorch-operator": 35}
WRONG = {"test_convtranspose_output_shape"}  # ONNX Runtime and the reference pad differently; we do as ONNX Runtime


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_single_operators(capsys):
    """Nearly all tests of operators on numbers pass; what does not is refused, never answered wrongly."""
    tested = [case for case in cases() if is_of_numbers(case)]
    failed = {case.name: why for case in tested if (why := passes(case))}
    with capsys.disabled():
        print(f"\n{len(tested) - len(failed)} of {len(tested)} tests of single operators pass")
    assert len(tested) - len(failed) >= LEAST_NODES
    wrong = {name for name, why in failed.items() if why.startswith(("Not equal", "shape"))}
    assert wrong <= WRONG


@pytest.mark.slow
@pytest.mark.parametrize("part", LEAST_MODELS)
def test_models(part, capsys):
    """Whole models from early exporters, opset 6, give the stored answers."""
    found = {folder.name: _why_not(folder) for folder in sorted((DATA / part).iterdir())}
    passed = [name for name, why in found.items() if not why]
    with capsys.disabled():
        print(f"\n{len(passed)} of {len(found)} models of {part} pass")
    assert len(passed) >= LEAST_MODELS[part], {name: why for name, why in found.items() if why}


def test_a_few_models():
    """The same for four of them, in the quick half."""
    names = ("test_Conv2d_groups", "test_PReLU_2d_multiparam", "test_Linear", "test_GLU_dim")
    assert [_why_not(DATA / "pytorch-converted" / name) for name in names] == [""] * len(names)


def _why_not(folder: Path) -> str:
    model = onnx.load(folder / "model.onnx")
    for stored in folder.glob("test_data_set_*"):
        inputs = [torch.from_numpy(array) for array in _arrays(stored, "input")]
        try:
            with warnings.catch_warnings(), torch.inference_mode():
                warnings.simplefilter("ignore")
                found = import_model(model, inputs).module(*inputs)
            results = found if isinstance(found, tuple) else (found,)
            for one, wanted in zip(results, _arrays(stored, "output"), strict=True):
                assert tuple(one.shape) == wanted.shape
                np.testing.assert_allclose(one.numpy(), wanted, 1e-3, 1e-5)
        except (PruningError, AssertionError) as error:
            return str(error)[:200] or "another shape"
    return ""


def _arrays(folder: Path, kind: str) -> Iterator[np.ndarray]:
    for path in sorted(folder.glob(f"{kind}_*.pb")):
        yield np.array(numpy_helper.to_array(onnx.load_tensor(path)))
