"""A model whose layers carry names that markup, formulas and scripts are made of; tests name it on the command line."""

import torch
from torch import nn

from pruning_core.model import Model
from tests.explorer.payloads import PAYLOADS

# A dot would divide a name; torch.export writes names into Python source, where quotes and line ends would break it.
UNTRACEABLE = set("'\"\\\x00\r\n\t")
NAMES = [name.replace(".", "·") for name in PAYLOADS if len(name) < 200 and not UNTRACEABLE & set(name)]


def build() -> Model:
    """Return a model with one linear layer for each name."""
    module = nn.Sequential()
    for name in NAMES:
        module.add_module(name, nn.Linear(8, 8))
    return Model("hostile", module, (torch.zeros(2, 8),), title=PAYLOADS[1], note=PAYLOADS[16])
