"""The processor of a model: tokenizer, image settings, template, and the number of positions of an image.

It is saved with its model, so a folder holds all that prompts depend on. It encodes text with the encoder of training
(:mod:`blender.encoding`), so its prompts are, token for token, what came before answers in training. Chat, the server
and evaluation take their encoder from here.
"""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, BatchFeature, ProcessorMixin

from blender.core.counting import counted
from blender.core.errors import ModelError, StreamError
from blender.core.hub import load_named
from blender.data.sample import Span
from blender.data.template import IMAGE, Template
from blender.encoding.chat import ChatTemplate, find_template
from blender.encoding.encoded import EncodedText, UnusableTextError
from blender.encoding.encoder import TextEncoder, make_text_encoder
from blender.encoding.image_processor import load_image_processor
from blender.model.messages import ProcessorConversation, read_messages
from blender.model.prompts import Prompt, batch_prompts


class VisualChatProcessor(ProcessorMixin):
    """Makes model inputs from text and images.

    Args:
        image_processor: The vision tower's.
        tokenizer: The language model's; a fast one.
        image_positions: Positions that an image takes.
        template: Name of the template that the model was trained with.
        image_token_id: Token id at image positions; the pad token, or else the end token, when None.
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
        self._encoder: tuple[object, TextEncoder] | None = None
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
        tokenizer = load_named("tokenizer", language, AutoTokenizer.from_pretrained)
        images = load_image_processor(vision, ModelError)
        return cls(_resized(images, config.image_size), tokenizer, config.image_positions, template)

    @property
    def text_encoder(self) -> TextEncoder:
        """The encoder of texts; made anew only when the tokenizer changes.

        Raises:
            ModelError: The tokenizer cannot be used.
        """
        tokenizer = self.tokenizer
        # a tokenizer can be replaced, and get more tokens
        state = id(tokenizer), len(tokenizer), tokenizer.eos_token_id, self.image_positions, self.image_token_id
        if self._encoder is None or self._encoder[0] != state:
            try:
                encoder = make_text_encoder(tokenizer, self.image_positions, image_token_id=self.image_token_id)
            except StreamError as error:
                raise ModelError(error.message, error.hint) from error
            self._encoder = state, encoder
        return self._encoder[1]

    def find_template(self) -> Template | ChatTemplate:
        """Return the template that the model was trained with.

        Raises:
            ModelError: There is none of this name.
        """
        try:
            return find_template(self.template, self.tokenizer)
        except StreamError as error:
            raise ModelError(error.message, error.hint) from error

    def __call__(self, text: str | Sequence[str], images: Sequence[Any] | None = None, **kwargs: Any) -> BatchFeature:
        """Make the inputs of ``forward`` and ``generate`` for prompts of one round, padded on the left.

        Special tokens in a text are read as the characters they are written with. A conversation of several rounds, or
        one of a chat template, has special tokens of its own: use :meth:`apply_chat_template`.

        Args:
            text: One text or several, each up to where an answer begins; ``<image>`` where an image is shown. The
                space before an answer may be left out.
            images: The images of all texts, in the order shown.
            **kwargs: Options of the image processor.

        Returns:
            ``input_ids``, ``attention_mask``, ``image_index``, each (B, T), and ``pixels``, (N, C, H, W), normalised.

        Raises:
            ModelError: A text cannot be encoded, or there are more or fewer images than are shown.
        """
        texts = [text] if isinstance(text, str) else list(text)
        given = list(images or [])
        num_shown = sum(each.count(IMAGE) for each in texts)
        if num_shown != len(given):
            reason = f"the text shows {counted(num_shown, 'image')}, not the {len(given)} given"
            raise ModelError(reason, f"give one image for each {IMAGE}")
        return self._batch([self._encode([_prompt_span(each)], is_prompt=True) for each in texts], given, kwargs)

    def apply_chat_template(  # type: ignore[override]
        self,
        conversation: Sequence[Any],
        *,
        add_generation_prompt: bool = False,
        tokenize: bool = False,
        return_dict: bool = False,
        return_tensors: str = "pt",
        return_assistant_tokens_mask: bool = False,
    ) -> Any:
        """Render a conversation with the template that the model was trained with, and encode it as training does.

        Args:
            conversation: Messages, as :func:`~blender.model.messages.read_messages` takes them, or several lists of
                them.
            add_generation_prompt: Must be set where the last message is the user's: the answer comes next.
            tokenize: Make tokens; else return the text.
            return_dict: With ``tokenize``: return the inputs of ``generate``; else ``input_ids`` alone.
            return_tensors: ``pt``, the only kind.
            return_assistant_tokens_mask: Add ``assistant_masks``, (B, T): the loss mask of training.

        Raises:
            ModelError: The messages cannot be rendered or encoded, or do not end as ``add_generation_prompt`` says.
        """
        if return_tensors != "pt":
            raise ModelError(f"there are no {return_tensors!r} tensors here", "use return_tensors='pt'")
        is_one = bool(conversation) and isinstance(conversation[0], Mapping)
        read = [read_messages(one) for one in ([conversation] if is_one else conversation)]
        rendered = [self._render(one, add_generation_prompt) for one in read]
        if not tokenize:
            texts = ["".join(span.text for span in spans) for spans in rendered]
            return texts[0] if is_one else texts
        encoded = [self._encode(spans, one.is_prompt) for spans, one in zip(rendered, read, strict=True)]
        batch = self._batch(encoded, [image for one in read for image in one.images], {})
        if return_assistant_tokens_mask:
            length = batch["input_ids"].shape[1]
            masks = [[0] * (length - len(text)) + text.loss_mask.astype(int).tolist() for text in encoded]
            batch["assistant_masks"] = torch.tensor(masks)
        return batch if return_dict else batch["input_ids"]

    def _render(self, read: ProcessorConversation, add_generation_prompt: bool) -> list[Span]:
        if read.is_prompt != add_generation_prompt:
            reason = "user's" if read.is_prompt else "assistant's"
            hint = f"set add_generation_prompt={read.is_prompt}"
            raise ModelError(f"the last message is the {reason}", hint)
        template = self.find_template()
        if read.system is not None:
            template = template.with_system(read.system)
        return template.render_prompt(read.turns) if read.is_prompt else template.render(read.turns)

    def _encode(self, spans: Sequence[Span], is_prompt: bool) -> EncodedText:
        encoder = self.text_encoder
        try:
            return encoder.encode_prompt(spans) if is_prompt else encoder.encode(spans).keep_turns(None)
        except UnusableTextError as error:
            raise ModelError(f"the text cannot be encoded: {error.detail}", "leave that out") from error

    def _batch(self, texts: Sequence[EncodedText], images: Sequence[Any], options: dict[str, Any]) -> BatchFeature:
        pixels = torch.empty(0)
        if images:
            options.setdefault("return_tensors", "pt")
            pixels = self.image_processor(images=list(images), **options)["pixel_values"]
        prompts, first = [], 0
        for text in texts:
            prompts.append(Prompt(text, pixels[first : first + text.num_images]))
            first += text.num_images
        return BatchFeature(batch_prompts(prompts, self.text_encoder.image_id, "cpu"))

    @property
    def model_input_names(self) -> list[str]:
        """Names of the inputs that a call returns."""
        return ["input_ids", "attention_mask", "image_index", "pixels"]


def _prompt_span(text: str) -> Span:
    """Return a prompt's text; the space before an answer belongs to the answer's first token."""
    return Span(text if text[-1:].isspace() else f"{text} ", train=False)


def _resized(images: Any, size: int) -> Any:
    """Return an image processor that gives images of another size."""
    changed = copy.deepcopy(images)
    keys = dict(changed.size)
    changed.size = {"shortest_edge": size} if "shortest_edge" in keys else {"height": size, "width": size}
    if getattr(changed, "crop_size", None):
        before, crop = keys.get("shortest_edge"), changed.crop_size["height"]
        # keep the proportion of a tower whose images are cropped from larger ones
        if before and before != crop:
            changed.size = {"shortest_edge": round(before * size / crop)}
        changed.crop_size = {"height": size, "width": size}
    return changed
