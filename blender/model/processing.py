"""What stands before the model: tokenizer, image settings, template, and how many positions an image takes.

A processor travels with its model, so that a folder says by itself how it wants to be asked. Given texts with
``<image>`` in them and pictures, it makes what ``VisualChatModel`` takes. The text between images is tokenised in one
call, an image parting it as a special token would.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer
from transformers import AutoImageProcessor, AutoTokenizer, BatchFeature, ProcessorMixin

from blender.errors import ModelError

#: stands where an image is shown
IMAGE = "<image>"
#: stands for it while a text is tokenised; a noncharacter of Unicode
_MARK = "\ufdd0"


class VisualChatProcessor(ProcessorMixin):
    """Makes model inputs of text and images.

    Args:
        image_processor: The vision tower's.
        tokenizer: The language model's; a fast one.
        image_positions: Positions that an image takes.
        template: Name of the template that the model was trained with.
        image_token_id: What stands at image positions; the pad token, or else the end token, when None.
        chat_template: As every processor has it; not used here.
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        image_positions: int = 256,
        template: str = "deepspeed-visualchat",
        image_token_id: int | None = None,
        chat_template: str | None = None,
    ) -> None:
        self.image_positions = image_positions
        self.template = template
        self.image_token_id = image_token_id
        super().__init__(image_processor, tokenizer, chat_template=chat_template)  # type: ignore[no-untyped-call]

    @classmethod
    def from_parts(cls, language: str | Path, vision: str | Path, config: Any, template: str) -> "VisualChatProcessor":
        """Make the processor of a model.

        Args:
            language: Name or folder of the language model, or of its tokenizer.
            vision: Name or folder of the vision tower.
            config: The model's configuration.
            template: Name of the template that it is trained with.

        Raises:
            ModelError: One of them cannot be loaded.
        """
        try:
            tokenizer = AutoTokenizer.from_pretrained(language)
            images = AutoImageProcessor.from_pretrained(vision, backend="pil")  # type: ignore[no-untyped-call]
        except (OSError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            raise ModelError(f"the processor of {language} and {vision} cannot be made: {first}") from error
        return cls(_resized(images, config.image_size), tokenizer, config.image_positions, template)

    @property
    def placeholder_id(self) -> int:
        """The id at image positions; it means nothing."""
        tokenizer = self.tokenizer
        known = (self.image_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id)
        return int(next(token for token in known if token is not None))

    def __call__(self, text: str | Sequence[str], images: Sequence[Any] | None = None, **kwargs: Any) -> BatchFeature:
        """Make the inputs of ``forward`` and ``generate``, padded on the left.

        Args:
            text: One text or several; ``<image>`` where an image is shown.
            images: The images of all texts, in the order shown.
            **kwargs: Options of the image processor.

        Returns:
            ``input_ids``, ``attention_mask``, ``image_index``, each (B, T), and ``pixels``, (N, C, H, W), normalised.

        Raises:
            ModelError: There are more or fewer images than places for them.
        """
        texts = [text] if isinstance(text, str) else list(text)
        pictures = list(images or [])
        places = sum(one.count(IMAGE) for one in texts)
        if places != len(pictures):
            told = f"the text shows {places} images, and {len(pictures)} are given"
            raise ModelError(told, f"give one image for each {IMAGE}")
        rows, shown = [], 0
        for one in texts:
            rows.append(self._encode(one, shown))
            shown += one.count(IMAGE)
        made = _pad_left(rows, self.placeholder_id)
        if pictures:
            kwargs.setdefault("return_tensors", "pt")
            made["pixels"] = self.image_processor(images=pictures, **kwargs)["pixel_values"]
        return BatchFeature(made)

    def _encode(self, text: str, first_image: int) -> tuple[list[int], list[int]]:
        """Return ids and image numbers of one text."""
        tokenizer = self.tokenizer
        backend: Tokenizer = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        backend.add_tokens([AddedToken(_MARK, normalized=False, special=False)])
        mark = backend.token_to_id(_MARK)
        tokens = backend.encode(text.replace(IMAGE, _MARK), add_special_tokens=False).ids
        begin = tokenizer.bos_token_id
        starts = begin is not None and tokenizer("a")["input_ids"][:1] == [begin]
        ids, numbers = ([begin], [-1]) if starts else ([], [])
        for token in tokens:
            count = self.image_positions if token == mark else 1
            ids += [self.placeholder_id if token == mark else token] * count
            numbers += [first_image if token == mark else -1] * count
            first_image += token == mark
        return ids, numbers

    @property
    def model_input_names(self) -> list[str]:
        """Names of what a call makes."""
        return ["input_ids", "attention_mask", "image_index", "pixels"]


def _pad_left(rows: Sequence[tuple[list[int], list[int]]], pad: int) -> dict[str, torch.Tensor]:
    length = max(len(ids) for ids, _ in rows)
    filled = {
        "input_ids": [[pad] * (length - len(ids)) + ids for ids, _ in rows],
        "attention_mask": [[0] * (length - len(ids)) + [1] * len(ids) for ids, _ in rows],
        "image_index": [[-1] * (length - len(ids)) + numbers for ids, numbers in rows],
    }
    return {name: torch.tensor(values) for name, values in filled.items()}


def _resized(images: Any, size: int) -> Any:
    """Return an image processor that gives images of another size."""
    changed = copy.deepcopy(images)
    keys = dict(changed.size)
    changed.size = {"shortest_edge": size} if "shortest_edge" in keys else {"height": size, "width": size}
    if getattr(changed, "crop_size", None):
        before, crop = keys.get("shortest_edge"), changed.crop_size["height"]
        # where a tower's images are cropped from larger ones, they go on to be, in proportion
        if before and before != crop:
            changed.size = {"shortest_edge": round(before * size / crop)}
        changed.crop_size = {"height": size, "width": size}
    return changed
