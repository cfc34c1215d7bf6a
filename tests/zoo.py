"""Models of three libraries with random weights that hide nothing: 22 of torchvision, 6 of timm, 4 of transformers.

With default initialisation many mistakes would multiply by zero, so `shaken` gives biases, norm parameters, running
statistics and constant tensors random values.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

TOKENS = 50


@dataclass(frozen=True)
class Entry:
    """How to build a model, and the shape of one example; a model of tokens takes integers below `TOKENS`."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...] = (3, 224, 224)
    tokens: bool = False

    def module(self) -> nn.Module:
        """Return the model with shaken weights, always the same ones."""
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # notes of these libraries about themselves
            torch.manual_seed(0)
            return shaken(self.build())

    def inputs(self, batch: int = 2, seed: int = 0) -> tuple[Tensor, ...]:
        """Return random inputs (batch, *shape)."""
        generator = torch.Generator().manual_seed(seed)
        if self.tokens:
            return (torch.randint(0, TOKENS, (batch, *self.shape), generator=generator),)
        return (torch.randn(batch, *self.shape, generator=generator),)


def shaken(module: nn.Module) -> nn.Module:
    """Give biases, norm parameters, running statistics and constant tensors random values; in evaluation mode."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if not tensor.is_floating_point():
            continue
        random = torch.rand(tensor.shape, generator=generator)
        if name.endswith("running_var"):
            tensor.data.copy_(0.5 + random)
        elif name.endswith(("running_mean", "bias")):
            tensor.data.copy_((random - 0.5) * 0.4)
        elif tensor.dim() == 1 and name.endswith("weight"):
            tensor.data.copy_(0.75 + 0.5 * random)
        elif tensor.numel() > 1 and tensor.min() == tensor.max():  # heads of zeros, tiny layer scales
            tensor.data.copy_((random - 0.5) * 0.4)
    return module.eval()


class FirstTensor(nn.Module):
    """A model of transformers as a module that takes a tensor and returns one."""

    def __init__(self, model: nn.Module, field: str, **options: Any) -> None:
        super().__init__()
        self.model, self.field, self.options = model, field, options

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (batch, tokens, ...) of `inputs` (batch, ...)."""
        output: Tensor = getattr(self.model(inputs, **self.options), self.field)
        return output


def _torchvision(name: str, **options: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from torchvision import models

        module: nn.Module = models.get_model(name, weights=None, **options)
        return module

    return build


def _small_resnet() -> nn.Module:
    from torchvision.models.resnet import BasicBlock, ResNet

    return ResNet(BasicBlock, [1, 1, 1, 1])


def _small_densenet() -> nn.Module:
    from torchvision.models import DenseNet

    return DenseNet(growth_rate=8, block_config=(2, 3, 2), num_init_features=16)


def _small_mobilenet() -> nn.Module:
    from torchvision.models.mobilenetv3 import MobileNetV3, _mobilenet_v3_conf

    settings, last_channel = _mobilenet_v3_conf("mobilenet_v3_small")
    return MobileNetV3(settings[:4], last_channel)


def _small_shufflenet() -> nn.Module:
    from torchvision.models import ShuffleNetV2

    return ShuffleNetV2([2, 2, 2], [24, 48, 96, 192, 256])


def _timm(name: str, **options: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import timm

        module: nn.Module = timm.create_model(name, **options)
        return module

    return build


def _bert(layers: int = 2) -> nn.Module:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=TOKENS,
        hidden_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=32,
    )
    return FirstTensor(BertModel(config, add_pooling_layer=False), "last_hidden_state", use_cache=False)


def _gpt2(layers: int = 2) -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=TOKENS, n_embd=64, n_layer=layers, n_head=4, n_positions=32)
    return FirstTensor(GPT2LMHeadModel(config), "logits", use_cache=False)


def _llama(layers: int = 2) -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=TOKENS,
        hidden_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=128,
        max_position_embeddings=32,
    )
    return FirstTensor(LlamaForCausalLM(config), "logits", use_cache=False)


def _vit(layers: int = 2) -> nn.Module:
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=128,
        image_size=32,
        patch_size=8,
    )
    return FirstTensor(ViTModel(config, add_pooling_layer=False), "last_hidden_state")


_NO_HEADS = {"aux_logits": False, "init_weights": False, "transform_input": True}

ZOO: dict[str, Entry] = {
    **{
        name: Entry(_torchvision(name))
        for name in (
            "alexnet vgg11_bn resnet18 resnext50_32x4d wide_resnet50_2 densenet121 squeezenet1_0 mobilenet_v2 "
            "mobilenet_v3_small mnasnet0_5 shufflenet_v2_x0_5 efficientnet_b0 efficientnet_v2_s regnet_x_400mf "
            "regnet_y_400mf convnext_tiny vit_b_32 swin_t swin_v2_t maxvit_t"
        ).split()
    },
    "googlenet": Entry(_torchvision("googlenet", **_NO_HEADS)),
    "inception_v3": Entry(_torchvision("inception_v3", **_NO_HEADS), (3, 299, 299)),
    **{
        f"timm:{name}": Entry(_timm(name), (3, side, side))
        for name, side in {
            "vit_tiny_patch16_224": 224,
            "convnext_atto": 224,
            "mobilenetv4_conv_small": 224,
            "efficientvit_b0": 224,
            "levit_128s": 224,
            "resnet26t": 224,
        }.items()
    },
    "transformers:bert": Entry(_bert, (12,), tokens=True),
    "transformers:gpt2": Entry(_gpt2, (12,), tokens=True),
    "transformers:llama": Entry(_llama, (12,), tokens=True),
    "transformers:vit": Entry(_vit, (3, 32, 32)),
}

SMALL: dict[str, Entry] = {  # few blocks and small inputs, every construction of the family
    "resnet": Entry(_small_resnet, (3, 32, 32)),
    "mobilenet_v3": Entry(_small_mobilenet, (3, 32, 32)),
    "shufflenet_v2": Entry(_small_shufflenet, (3, 64, 64)),
    "densenet": Entry(_small_densenet, (3, 64, 64)),
    "timm:vit": Entry(_timm("vit_tiny_patch16_224", img_size=64, depth=2), (3, 64, 64)),
    "transformers:bert": Entry(lambda: _bert(1), (12,), tokens=True),
    "transformers:gpt2": Entry(lambda: _gpt2(1), (12,), tokens=True),
    "transformers:llama": Entry(lambda: _llama(1), (12,), tokens=True),
    "transformers:vit": Entry(lambda: _vit(1), (3, 32, 32)),
}
