"""Models of the real architectures with a few thousand random weights, saved as training saves them."""

import torch
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaForCausalLM

from blender.model import VisualChatModel, VisualChatProcessor
from tests.stream.tiny_tokenizers import tiny_tokenizer

SIZE = 32


def save_parts(folder, kind="llama2", positions=512, seed=0, dtype=torch.float32):
    """Save a language model and a vision tower; return their folders."""
    torch.manual_seed(seed)
    tokenizer = tiny_tokenizer(kind)
    text = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=positions, eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id, pad_token_id=None, initializer_range=0.3,
    )  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2, image_size=SIZE, patch_size=8
    )
    LlamaForCausalLM(text).to(dtype).save_pretrained(folder / "language")
    tokenizer.save_pretrained(folder / "language")
    CLIPVisionModel(vision).save_pretrained(folder / "vision")
    edges = {"height": SIZE, "width": SIZE}
    CLIPImageProcessor(size={"shortest_edge": SIZE}, crop_size=edges).save_pretrained(folder / "vision")
    return folder / "language", folder / "vision"


def save_model(folder, *, kind="llama2", attention="mmca", template="deepspeed-visualchat", small=False, **options):
    """Save a joined model with its processor; return its folder."""
    language, vision = save_parts(folder / "parts", kind, **options)
    model = VisualChatModel.from_parts(language, vision, attention=attention, projector="linear", seed=3, cross_every=1)
    if model.cross is not None:
        # gates start at zero, and an image would change nothing
        for layer in model.cross.values():
            torch.nn.init.ones_(layer.attention_gate)
    model.save_trained(folder / "model") if small else model.save_pretrained(folder / "model")
    processor = VisualChatProcessor.from_parts(language, vision, model.config, template)
    processor.save_pretrained(folder / "model")
    return folder / "model"
