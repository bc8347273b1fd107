"""Tiny language models and vision towers of real kinds, random, and batches for them."""

from dataclasses import dataclass
from functools import cache

import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    CLIPVisionConfig,
    CohereConfig,
    Dinov2Config,
    Dinov2WithRegistersConfig,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
    SiglipVisionConfig,
)

from blender.model import VisualChatConfig, VisualChatModel

torch.set_num_threads(1)

VOCABULARY = 97
_TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GROUPED = {**_TEXT, "num_key_value_heads": 2}
_VISION = {
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}
DECODERS = {
    "llama": LlamaConfig(**_GROUPED),
    "qwen2": Qwen2Config(**_GROUPED),
    "qwen3": Qwen3Config(**_GROUPED, head_dim=8),
    "mistral": MistralConfig(**_GROUPED),
    "gpt_neox": GPTNeoXConfig(**_TEXT),
    "cohere": CohereConfig(**_GROUPED, logit_scale=0.3),
    "mixtral": MixtralConfig(**_GROUPED, num_local_experts=4),
    "qwen3_moe": Qwen3MoeConfig(**_GROUPED, head_dim=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16),
    "granite": GraniteConfig(**_GROUPED, logits_scaling=3.0, embedding_multiplier=2.0),
}
TOWERS = {
    "clip": CLIPVisionConfig(**_VISION),
    "siglip": SiglipVisionConfig(**_VISION),
    "dinov2": Dinov2Config(**_VISION, mlp_ratio=2),
    "dinov2_registers": Dinov2WithRegistersConfig(**_VISION, mlp_ratio=2, num_register_tokens=3),
}
#: positions of an image of these towers: 2 x 2 patches
IMAGE = 4


def language_model(kind="llama", seed=0, **changes):
    torch.manual_seed(seed)
    config = DECODERS[kind].__class__.from_dict({**DECODERS[kind].to_dict(), **changes})
    return AutoModelForCausalLM.from_config(config).eval()


def vision_tower(kind="clip", seed=0, **changes):
    torch.manual_seed(seed)
    return AutoModel.from_config(TOWERS[kind].__class__.from_dict({**TOWERS[kind].to_dict(), **changes})).eval()


def joined(attention="mmca", kind="llama", tower="clip", *, text=None, seed=0, **settings):
    """A joined model in evaluation mode, whose gates are open if it has any."""
    settings.setdefault("cross_every", 2)
    language = language_model(kind, **(text or {}))
    model = VisualChatModel.from_parts(language, vision_tower(tower), attention=attention, seed=seed, **settings)
    for name, weight in model.named_parameters():
        if name.endswith("_gate"):
            torch.nn.init.constant_(weight, 0.5)
    return model.eval()


@cache
def shared(attention="mmca", kind="llama"):
    """Return the joined model that all tests share; it must not be changed."""
    return joined(attention, kind)


def config_of(attention="mmca", **settings):
    return VisualChatConfig(
        text_config=DECODERS["llama"], vision_config=TOWERS["clip"], attention=attention, **settings
    )


@dataclass
class Rows:
    """Rows of samples, each a string: ``t`` text, ``a`` trained text, ``I`` an image; ``.`` padding, ``|`` a seam."""

    rows: tuple[str, ...]
    seed: int = 0
    image_positions: int = IMAGE

    def tensors(self):
        generator = torch.Generator().manual_seed(self.seed)
        lines, num_images = [], 0
        for row in self.rows:
            line, segment = [], 1
            for letter in row:
                if letter == "|":
                    segment += 1
                elif letter == "I":
                    line += [(segment, num_images, False)] * self.image_positions
                    num_images += 1
                else:
                    line.append((0 if letter == "." else segment, -1, letter == "a"))
            lines.append(line)
        length = max(map(len, lines))
        whole = torch.tensor([line + [(0, -1, False)] * (length - len(line)) for line in lines])
        ids = torch.randint(3, VOCABULARY, whole.shape[:2], generator=generator)
        pixels = torch.randint(0, 256, (num_images, 3, 16, 16), generator=generator, dtype=torch.uint8)
        segments = whole[..., 0]
        return {
            "input_ids": ids.masked_fill(segments == 0, 0),
            "segment_ids": segments,
            "image_index": whole[..., 1],
            "pixels": pixels,
        }, torch.where(whole[..., 2] > 0, ids, -100)


def batch(*rows, seed=0):
    """Model inputs without labels."""
    return Rows(rows, seed).tensors()[0]


def trained_batch(*rows, seed=0):
    """Model inputs with labels."""
    inputs, labels = Rows(rows, seed).tensors()
    return {**inputs, "labels": labels}
