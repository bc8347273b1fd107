"""Answer prepared prompts, one or several at once.

Prompts are cached in pieces (:mod:`blender.model.prefill`), between which they can be stopped; then the model's own
``generate`` goes on. What a stopped prompt has cached is kept for the next try.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from transformers import DynamicCache, GenerationConfig, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from blender.model.prefill import PREFILL_CHUNK, prefill
from blender.model.prompts import batch_prompts
from blender.serve.detokenizer import Detokenizer, Finish, OnText, stop_pattern
from blender.serve.loading import LoadedModel
from blender.serve.prefix_cache import CachedPrefix
from blender.serve.prepared import PreparedPrompt
from blender.serve.sampling import Sampling
from blender.serve.token_sampler import RowSampler

#: positions of a piece of a prompt at most, and at least where the prompt is long
_CHUNK, _MIN_CHUNK = PREFILL_CHUNK, 128
#: pairs of positions of a piece and of the prompt at most, which bounds the time of a piece
_MAX_PAIRS = 4_096 * 1_024
#: asked before every token, and between the pieces of a long prompt, whether to stop
IsCancelled = Callable[[], bool]


@dataclass(frozen=True)
class Answer:
    """An answer, and what it took."""

    text: str
    finish: Finish
    #: positions of the prompt, and how many of them were cached
    num_prompt_tokens: int
    num_cached_tokens: int
    #: tokens generated, the end token included
    num_new_tokens: int
    #: old turns left out of the prompt for lack of room
    num_turns_dropped: int
    seconds: float


#: called with an answer as soon as it is over
OnAnswer = Callable[[Answer], None]


def answer_prompts(
    loaded: LoadedModel,
    prompts: Sequence[PreparedPrompt],
    samplings: Sequence[Sampling],
    *,
    on_text: Sequence[OnText | None] | None = None,
    is_cancelled: Sequence[IsCancelled | None] | None = None,
    on_answer: Sequence[OnAnswer | None] | None = None,
    prefix: CachedPrefix | None = None,
) -> list[Answer]:
    """Answer prompts together. Each gets the answer that it would get alone, to rounding.

    Args:
        loaded: The model.
        prompts: At least one, each shorter than the model's limit.
        samplings: For each prompt, how to generate.
        on_text: For each prompt, called with every new piece of its answer.
        is_cancelled: For each prompt, asked before every token whether to stop.
        on_answer: For each prompt, called with its answer as soon as that is over, while others go on.
        prefix: Of a single prompt: what is cached of earlier prompts, and where this one is cached. It is emptied if
            anything is raised.
    """
    begun, nobody = perf_counter(), [None] * len(prompts)
    prefix = CachedPrefix() if prefix is None else prefix
    num_cached = prefix.crop_to(prompts[0]) if len(prompts) == 1 else 0
    rows = [
        _Row(loaded, *each, num_cached, begun)
        for each in zip(prompts, samplings, on_text or nobody, is_cancelled or nobody, on_answer or nobody, strict=True)
    ]
    try:
        cache, ids = _generate(loaded, rows, prefix.cache)
    except BaseException:
        prefix.clear()
        raise
    answers = [row.end("length") for row in rows]
    if len(prompts) == 1:
        prefix.store(cache, ids[0].cpu().numpy(), prompts[0])
    return answers


class _Row:
    """One prompt of a batch while it is answered."""

    def __init__(
        self,
        loaded: LoadedModel,
        prompt: PreparedPrompt,
        sampling: Sampling,
        on_text: OnText | None,
        is_cancelled: IsCancelled | None,
        on_answer: OnAnswer | None,
        num_cached: int,
        begun: float,
    ) -> None:
        self.prompt, self.sampling = prompt, sampling
        self.max_tokens = _max_tokens(loaded, prompt, sampling)
        stop = stop_pattern(loaded.template.markers, sampling.stop)
        self._detokenizer = Detokenizer(loaded.tokenizer, loaded.end_ids, stop, self.max_tokens, on_text)
        self._is_cancelled, self._on_answer = is_cancelled, on_answer
        self._num_cached, self._begun = num_cached, begun
        self._answer: Answer | None = None

    def add(self, token: int) -> bool:
        """Take the next token; return whether the answer is over."""
        if not self._detokenizer.add(token) and self.is_cancelled():
            self._detokenizer.end("cancelled")
        if self._detokenizer.finish is None:
            return False
        self.end(self._detokenizer.finish)
        return True

    def is_cancelled(self) -> bool:
        """Ask whether to stop."""
        return self._is_cancelled is not None and self._is_cancelled()

    def end(self, finish: Finish) -> Answer:
        """Return the answer, which is over by now; the first time, pass it on."""
        if self._answer is None:
            detokenizer = self._detokenizer
            detokenizer.end(finish)
            assert detokenizer.finish is not None
            self._answer = Answer(
                detokenizer.answer,
                detokenizer.finish,
                len(self.prompt),
                self._num_cached,
                detokenizer.num_tokens,
                self.prompt.text.num_turns_dropped,
                perf_counter() - self._begun,
            )
            if self._on_answer:
                self._on_answer(self._answer)
        return self._answer


class _RowsOver(StoppingCriteria):
    """Gives every new token to its row, and tells transformers which rows are over."""

    def __init__(self, rows: Sequence[_Row]) -> None:
        self._rows = rows

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs: Any) -> torch.BoolTensor:
        """Return (B,) bool: which rows are over."""
        over = [row.add(token) for row, token in zip(self._rows, input_ids[:, -1].tolist(), strict=True)]
        return torch.tensor(over, device=input_ids.device)  # type: ignore[return-value]


def _generate(loaded: LoadedModel, rows: Sequence[_Row], cache: Any) -> tuple[Any, torch.Tensor]:
    """Return the cache, and (B, T) tokens of prompts and answers, of which the cache lacks the last or more."""
    pad_id = loaded.encoder.text.image_id
    device = loaded.model.get_input_embeddings().weight.device
    inputs = batch_prompts([row.prompt.prompt for row in rows], pad_id, device)
    sampler = RowSampler([row.sampling for row in rows], inputs["input_ids"].shape[1])
    cache = DynamicCache() if cache is None else cache
    with torch.inference_mode():
        if (
            prefill(loaded.model, inputs, cache, chunk=_chunk(rows), should_stop=lambda *_: _are_cancelled(rows))
            is None
        ):
            for row in rows:
                row.end("cancelled")
            return cache, inputs["input_ids"]
        output = loaded.model.generate(
            **inputs,
            past_key_values=cache,
            generation_config=GenerationConfig(  # type: ignore[no-untyped-call]
                max_new_tokens=max(row.max_tokens for row in rows),
                do_sample=False,
                use_cache=True,
                eos_token_id=loaded.end_ids,
                pad_token_id=pad_id,
                return_dict_in_generate=True,
            ),
            logits_processor=LogitsProcessorList([sampler]),
            stopping_criteria=StoppingCriteriaList([_RowsOver(rows)]),
        )
    return output.past_key_values, output.sequences


def _chunk(rows: Sequence[_Row]) -> int:
    longest = max(len(row.prompt) for row in rows)
    return min(_CHUNK, max(_MIN_CHUNK, _MAX_PAIRS // longest))


def _are_cancelled(rows: Sequence[_Row]) -> bool:
    return all(row.is_cancelled() for row in rows)


def _max_tokens(loaded: LoadedModel, prompt: PreparedPrompt, sampling: Sampling) -> int:
    if loaded.max_tokens is None:
        return sampling.max_new_tokens
    room = loaded.max_tokens - len(prompt)
    assert room > 0, f"{len(prompt)} positions for a model of {loaded.max_tokens}"
    return min(sampling.max_new_tokens, room)
