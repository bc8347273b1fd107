"""Choose next tokens for the rows of a batch, each row with random numbers of its own.

transformers' sampling draws from PyTorch's global state, so that an answer would depend on the other rows. Here every
row has a generator seeded by its :class:`Sampling`. Gumbel noise is added to the logits, so that their maximum is a
draw from their softmax, and generation itself stays greedy.
"""

from collections.abc import Sequence

import torch
from transformers import LogitsProcessor
from transformers.generation.logits_process import (
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from blender.serve.sampling import Sampling


class RowSampler(LogitsProcessor):
    """Applies the :class:`Sampling` of each row.

    Args:
        samplings: One for each row.
        num_prompt_tokens: Positions of the padded prompts; their tokens get no repetition penalty.
    """

    def __init__(self, samplings: Sequence[Sampling], num_prompt_tokens: int) -> None:
        self._samplings = samplings
        self._chains = [_processors(sampling, num_prompt_tokens) for sampling in samplings]
        self._generators: list[torch.Generator | None] = [None] * len(samplings)

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Change (B, V) logits so that the largest of each row is the token to take."""
        rows = [self._row(number, input_ids, scores) for number in range(len(self._samplings))]
        return torch.cat(rows)  # type: ignore[return-value]

    def _row(self, number: int, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        row, ids = scores[number : number + 1].float(), input_ids[number : number + 1]
        for processor in self._chains[number]:
            row = processor(ids, row)
        if not self._samplings[number].temperature:
            return row
        noise = torch.empty_like(row).exponential_(generator=self._generator(number, row.device))
        return row - noise.log()

    def _generator(self, number: int, device: torch.device) -> torch.Generator:
        generator = self._generators[number]
        if generator is None:
            generator = torch.Generator(device).manual_seed(self._samplings[number].seed)
            self._generators[number] = generator
        return generator


def _processors(sampling: Sampling, num_prompt_tokens: int) -> list[LogitsProcessor]:
    chain: list[LogitsProcessor] = []
    if sampling.repetition_penalty != 1:
        penalty = RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty, prompt_ignore_length=num_prompt_tokens)
        chain.append(penalty)
    if not sampling.temperature:
        return chain
    if sampling.temperature != 1:
        chain.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        chain.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        chain.append(TopPLogitsWarper(sampling.top_p))
    return chain
