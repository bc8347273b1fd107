"""Tiny models for the demo and tests: a real CLIP and a real Llama with random weights and a tokenizer of their own.

They are made in a second. Trained on a small blend they learn its phrases, enough to see that everything works.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

_SPECIAL = ("<unk>", "<s>", "</s>", "<pad>")


def make_tiny_parts(
    folder: str | Path,
    texts: Iterable[str],
    seed: int = 0,
    *,
    width: int = 128,
    layers: int = 2,
    vocabulary: int = 1500,
    image_size: int = 64,
    patch: int = 16,
) -> tuple[Path, Path]:
    """Write a language model and a vision tower as Hugging Face folders.

    Args:
        folder: The folder in which ``language`` and ``vision`` are made.
        texts: Texts that the tokenizer is trained on.
        seed: Seed of all weights.
        width: Hidden size of both models.
        layers: Number of layers of both models.
        vocabulary: Size of the tokenizer's vocabulary, at most.
        image_size: Edge of an image in pixels.
        patch: Edge of a patch in pixels.

    Returns:
        The folders of the language model and the vision tower.
    """
    language, vision = Path(folder) / "language", Path(folder) / "vision"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _write_language(language, texts, width, layers, vocabulary)
        _write_vision(vision, width, layers, image_size, patch)
    return language, vision


def _write_language(folder: Path, texts: Iterable[str], width: int, layers: int, vocabulary: int) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _train_tokenizer(texts, vocabulary)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _train_tokenizer(texts: Iterable[str], vocabulary: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    unknown, begin, end, pad = _SPECIAL
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A", special_tokens=[(begin, tokenizer.token_to_id(begin))]
    )
    named = {"unk_token": unknown, "bos_token": begin, "eos_token": end, "pad_token": pad}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)  # type: ignore[no-untyped-call]


def _write_vision(folder: Path, width: int, layers: int, image_size: int, patch: int) -> None:
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        image_size=image_size,
        patch_size=patch,
    )
    CLIPVisionModel(config).save_pretrained(folder)
    size = {"height": image_size, "width": image_size}
    CLIPImageProcessorPil(size={"shortest_edge": image_size}, crop_size=size).save_pretrained(folder)
