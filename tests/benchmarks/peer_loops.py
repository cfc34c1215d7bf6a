"""Sensitivity loops of other tools, written anew from what these do; each returns a figure for every cell.

All read a torch `DataLoader` over images that are decoded and normalised one by one.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Compose, Normalize, ToTensor
from torchvision.transforms.functional import to_pil_image

from pruning_core.layers import tensor_at
from pruning_core.onnx_export import session, to_onnx
from pruning_core.sensitivity import DEFAULT_LEVELS
from tests.benchmarks.naive import kthvalue_mask
from tests.benchmarks.subjects import Subject

BATCH = 128
Found = dict[tuple[str, float], float]  # accuracy (distiller, NNI), loss (sparseml in torch), KL (sparseml in ONNX)


class Images(Dataset[tuple[Tensor, int]]):
    """Images as data sets of torchvision give them."""

    def __init__(self, subject: Subject) -> None:
        data, scale = subject.data, subject.data.preprocessing
        self.images, self.labels = data.inputs.reshape(len(data), *data.inputs.shape[-2:]), data.labels().tolist()
        self.transform = Compose([ToTensor(), Normalize(scale.mean, scale.std)])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(to_pil_image(self.images[index])), self.labels[index]


def loader(subject: Subject) -> DataLoader[tuple[Tensor, int]]:
    """Return batches as a user's evaluation loop reads them."""
    return DataLoader(Images(subject), batch_size=BATCH)


def accuracy(module: nn.Module, batches: DataLoader[tuple[Tensor, int]]) -> float:
    """A user's evaluation loop."""
    module.eval()
    correct = n = 0
    with torch.no_grad():
        for inputs, labels in batches:
            correct += int((module(inputs).argmax(1) == labels).sum())
            n += len(labels)
    return correct / n


def distiller(subject: Subject) -> Found:
    """IntelLabs distiller, perform_sensitivity_analysis: a copy of the model for each layer, masks pile up on it."""
    batches, found = loader(subject), {}
    for layer in subject.layers:
        copy = deepcopy(subject.model.module)
        weight = tensor_at(copy, layer.parameter)
        for level in DEFAULT_LEVELS:
            with torch.no_grad():
                weight.mul_(kthvalue_mask(weight, level))
            found[layer.name, level] = accuracy(copy, batches)
    return found


def nni(subject: Subject) -> Found:
    """NNI 2, SensitivityAnalysis: wrap, evaluate, unwrap for each cell; the state is loaded again for each layer."""
    batches, found, module = loader(subject), {}, deepcopy(subject.model.module)
    state = deepcopy(module.state_dict())
    for layer in subject.layers:
        weight = tensor_at(module, layer.parameter)
        owner = module.get_submodule(layer.parameter.rpartition(".")[0])
        for level in DEFAULT_LEVELS:
            before = weight.detach().clone()
            wrapped = owner.register_forward_pre_hook(masking(weight, before, kthvalue_mask(before, level)))
            found[layer.name, level] = accuracy(module, batches)
            wrapped.remove()
            weight.data.copy_(before)
        module.load_state_dict(state)
    return found


def masking(weight: Tensor, before: Tensor, mask: Tensor) -> Callable[[nn.Module, object], None]:
    """Return a hook that masks the weight before each batch, as a wrapper with a mask does."""

    def hook(_: nn.Module, __: object) -> None:
        weight.data.copy_(before * mask)

    return hook


def sparseml_torch(subject: Subject) -> Found:
    """sparseml, pruning_loss_sens_one_shot in torch: one run over cached batches, a hook moves the mask; loss only."""
    cached, module = list(loader(subject)), subject.model.module
    found: Found = {}
    for layer in subject.layers:
        weight = tensor_at(module, layer.parameter)
        before = weight.detach().clone()
        for level in DEFAULT_LEVELS:
            weight.data.copy_(before * kthvalue_mask(before, level))
            with torch.no_grad():
                losses = [float(nn.functional.cross_entropy(module(x), y, reduction="sum")) for x, y in cached]
            found[layer.name, level] = sum(losses) / len(subject.data)
        weight.data.copy_(before)
    return found


def sparseml_onnx(subject: Subject) -> Found:
    """sparseml, pruning_loss_sens_one_shot_iter in ONNX: a pruned file and a new session for each cell; KL only."""
    model = onnx.load_from_string(to_onnx(subject.model.module, subject.model.example_inputs))
    cached = [inputs.numpy() for inputs, _ in loader(subject)]
    dense = torch.cat(list(answers(model, cached))).log_softmax(1)
    found: Found = {}
    for layer in subject.layers:
        for level in DEFAULT_LEVELS:
            pruned = deepcopy(model)
            entry = next(entry for entry in pruned.graph.initializer if entry.name == layer.parameter)
            weight = torch.from_numpy(numpy_helper.to_array(entry).copy())
            entry.CopyFrom(numpy_helper.from_array((weight * kthvalue_mask(weight, level)).numpy(), entry.name))
            logits = torch.cat(list(answers(pruned, cached)))
            kl = nn.functional.kl_div(logits.log_softmax(1), dense, reduction="batchmean", log_target=True)
            found[layer.name, level] = float(kl)
    return found


def answers(model: onnx.ModelProto, batches: list[np.ndarray]) -> Iterator[Tensor]:
    """Yield logits (batch, classes) of a new session."""
    running = session(model.SerializeToString())
    for inputs in batches:
        yield torch.from_numpy(running.run(None, {running.get_inputs()[0].name: inputs})[0])


PEERS: dict[str, Callable[[Subject], Found]] = {
    "distiller": distiller,
    "nni": nni,
    "sparseml_torch": sparseml_torch,
    "sparseml_onnx": sparseml_onnx,
}
