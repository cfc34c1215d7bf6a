"""A model of Hugging Face that returns its logits; this file's source goes into what rebuilds an exported model."""

from typing import Any

from torch import Tensor, nn


class Logits(nn.Module):
    """Return the logits (batch, ...) alone, for pixels (batch, channels, height, width) or tokens (batch, length)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.model.config.use_cache = False  # what comes back would hold keys and values of the past

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what the model's head says."""
        logits: Tensor = self.model(inputs).logits
        return logits
