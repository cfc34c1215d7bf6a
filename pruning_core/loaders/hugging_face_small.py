"""Small random models of well-known kinds, `hf:gpt2`: they need no network, and are trained on nothing."""

from typing import Any

TOKENS, LENGTH, SIZE = 256, 32, 32  # the bytes of a text are tokens
SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_TEXT = {"vocab_size": TOKENS, "max_position_embeddings": LENGTH, **SPECIAL}
_LAYERS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
_PICTURES = {"image_size": SIZE, "num_labels": 10}

# name, which is the library's `model_type` -> (automatic class, what differs from the library's defaults)
SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("AutoModelForSequenceClassification", _TEXT | _LAYERS),
    "distilbert": (
        "AutoModelForSequenceClassification",
        _TEXT | {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    ),
    "gpt2": (
        "AutoModelForCausalLM",
        {"vocab_size": TOKENS, "n_positions": LENGTH, "n_embd": 32, "n_layer": 2, "n_head": 4, **SPECIAL},
    ),
    "llama": ("AutoModelForCausalLM", _TEXT | _LAYERS | {"num_key_value_heads": 2}),
    "opt": (
        "AutoModelForCausalLM",
        _TEXT
        | {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 64}
        | {"word_embed_proj_dim": 32},
    ),
    "qwen2": ("AutoModelForCausalLM", _TEXT | _LAYERS | {"num_key_value_heads": 2}),
    "resnet": (
        "AutoModelForImageClassification",
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "num_labels": 10},
    ),
    "vit": ("AutoModelForImageClassification", _PICTURES | _LAYERS | {"patch_size": 8}),
}
