"""How the tokens of an answer are chosen, as plain data that needs no torch."""

from dataclasses import dataclass

from blender.core.errors import SessionError


@dataclass(frozen=True)
class Sampling:
    """How an answer is generated; greedy by default."""

    #: tokens of an answer at most, its end token included
    max_new_tokens: int = 512
    #: 0 for the likeliest token each time; 1 for the model's own distribution
    temperature: float = 0.0
    #: draw from the fewest tokens that together have this probability
    top_p: float = 1.0
    #: draw from this many likeliest tokens; 0 for all
    top_k: int = 0
    #: above 1, tokens that the answer has used already become less likely
    repetition_penalty: float = 1.0
    #: seed of the draws
    seed: int = 0
    #: texts that end an answer, besides the template's markers
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            SessionError: A value is out of range.
        """
        limits = (
            ("max_new_tokens", self.max_new_tokens >= 1, "at least 1"),
            ("temperature", 0 <= self.temperature < float("inf"), "0 or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("top_k", self.top_k >= 0, "0 or more"),
            ("repetition_penalty", 0 < self.repetition_penalty < float("inf"), "above 0"),
        )
        for name, is_valid, expected in limits:
            if not is_valid:
                raise SessionError(f"{name} is {getattr(self, name)}", f"it must be {expected}")
