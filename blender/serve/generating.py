"""Generate answers to prompts, one or several at once, through the model's own ``generate``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from blender.model.prompts import Prompt, batch_prompts
from blender.serve.listening import Finish, Listener, stop_pattern
from blender.serve.loading import LoadedModel
from blender.serve.sampling import RowSampler, Sampling

#: called with each new piece of an answer
OnText = Callable[[str], None]
#: asked before every token whether to stop
Cancelled = Callable[[], bool]


@dataclass(frozen=True)
class Generated:
    """One answer."""

    text: str
    finish: Finish
    #: tokens that were generated, the end token included
    num_tokens: int


#: called with an answer as soon as it is over, however long others of the same batch go on
OnEnd = Callable[[Generated], None]


class _Watch(StoppingCriteria):
    """Hands every new token to its row's listener, and every answer that is over to who waits for it."""

    def __init__(
        self,
        listeners: Sequence[Listener],
        cancelled: Sequence[Cancelled | None],
        on_end: Sequence[OnEnd | None],
    ) -> None:
        self._listeners = listeners
        self._cancelled = cancelled
        self._on_end = list(on_end)

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs: Any) -> torch.BoolTensor:
        """Return (B,) bool: which rows are over."""
        rows = zip(self._listeners, self._cancelled, input_ids[:, -1].tolist(), strict=True)
        over = [_hear(listener, cancelled, token) for listener, cancelled, token in rows]
        self.tell()
        return torch.tensor(over, device=input_ids.device)  # type: ignore[return-value]

    def tell(self) -> None:
        """Hand out every answer that is over, once."""
        for row, (listener, on_end) in enumerate(zip(self._listeners, self._on_end, strict=True)):
            if on_end and listener.finish is not None:
                self._on_end[row] = None
                on_end(_generated(listener))


def _hear(listener: Listener, cancelled: Cancelled | None, token: int) -> bool:
    over = listener.hear(token)
    if not over and cancelled and cancelled():
        listener.end("cancelled")
    return listener.finish is not None


def generate(
    loaded: LoadedModel,
    prompts: Sequence[Prompt],
    samplings: Sequence[Sampling],
    *,
    on_text: Sequence[OnText | None] | None = None,
    cancelled: Sequence[Cancelled | None] | None = None,
    on_end: Sequence[OnEnd | None] | None = None,
    cache: Any = None,
) -> tuple[list[Generated], Any, torch.Tensor]:
    """Answer prompts.

    Args:
        loaded: The model.
        prompts: At least one, each shorter than the model's limit.
        samplings: One for each prompt.
        on_text: For each prompt, what is called with every new piece of its answer.
        cancelled: For each prompt, what is asked whether to stop.
        on_end: For each prompt, what is called with its answer as soon as that is over.
        cache: Keys and values of the first positions of the only prompt.

    Returns:
        The answers; the cache; and (B, T) token ids, prompts and answers, of which the cache lacks the last.
    """
    template, nobody = loaded.template, [None] * len(prompts)
    budgets = [_budget(loaded, prompt, sampling) for prompt, sampling in zip(prompts, samplings, strict=True)]
    listeners = [
        Listener(loaded.tokenizer, loaded.end_ids, stop_pattern(template.markers, sampling.stop), budget, tell)
        for sampling, budget, tell in zip(samplings, budgets, on_text or nobody, strict=True)
    ]
    watch = _Watch(listeners, cancelled or nobody, on_end or nobody)
    pad_id = loaded.encoder.text.image_id
    inputs = batch_prompts(prompts, pad_id, loaded.model.get_input_embeddings().weight.device)
    with torch.inference_mode():
        made = loaded.model.generate(
            **inputs,
            past_key_values=cache,
            generation_config=GenerationConfig(  # type: ignore[no-untyped-call]
                max_new_tokens=max(budgets),
                do_sample=False,
                use_cache=True,
                eos_token_id=loaded.end_ids,
                pad_token_id=pad_id,
                return_dict_in_generate=True,
            ),
            logits_processor=LogitsProcessorList([RowSampler(samplings, inputs["input_ids"].shape[1])]),
            stopping_criteria=StoppingCriteriaList([watch]),
        )
    answers = [_generated(listener) for listener in listeners]
    watch.tell()
    return answers, made.past_key_values, made.sequences


def _budget(loaded: LoadedModel, prompt: Prompt, sampling: Sampling) -> int:
    if loaded.max_tokens is None:
        return sampling.max_new_tokens
    room = loaded.max_tokens - len(prompt)
    assert room > 0, f"{len(prompt)} positions for a model of {loaded.max_tokens}"
    return min(sampling.max_new_tokens, room)


def _generated(listener: Listener) -> Generated:
    listener.end("length")
    assert listener.finish is not None
    return Generated(listener.answer, listener.finish, listener.num_tokens)
