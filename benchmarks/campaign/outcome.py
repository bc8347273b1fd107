"""What a part of the campaign counts, and the failures that it lists."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from blender.core.randomness import generator

#: failures that are printed in full
_SHOWN = 20


class CheckFailed(Exception):
    """Something that must always hold did not hold in a try."""


@dataclass
class Outcome:
    """Tries of one part, sorted by what became of them."""

    part: str
    #: tries by how they ended, such as "killed while writing"
    endings: Counter[str] = field(default_factory=Counter)
    #: (number of the try, what did not hold)
    failures: list[tuple[int, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def num_tries(self) -> int:
        """Number of tries, failed ones included."""
        return self.endings.total() + len(self.failures)

    def add(self, other: "Outcome") -> None:
        """Count further tries of the same part."""
        self.endings += other.endings
        self.failures += other.failures

    def row(self) -> list[object]:
        """Return the part's row of the table."""
        endings = ", ".join(f"{count:,} {ending}" for ending, count in self.endings.most_common())
        return [self.part, endings, f"{self.num_tries:,}", len(self.failures), f"{self.seconds:,.0f}"]

    def complaints(self) -> list[str]:
        """Describe the failures, each with the number that repeats it."""
        shown = [f"{self.part}, try {number}: {failure}" for number, failure in self.failures[:_SHOWN]]
        more = len(self.failures) - len(shown)
        return [*shown, f"{self.part}: {more} more failures"] if more > 0 else shown


#: one try: gets its own random generator, returns how it ended, raises :class:`CheckFailed`
Try = Callable[[np.random.Generator], str]


def repeat(part: str, attempt: Try, numbers: Iterable[int], seed: int) -> Outcome:
    """Make the tries of a part; one that fails does not end the others.

    Args:
        part: Name of the part; with ``seed`` and a try's number it decides everything random.
        attempt: Makes one try.
        numbers: Numbers of the tries.
        seed: Seed of the campaign.
    """
    outcome, begin = Outcome(part), perf_counter()
    for number in numbers:
        try:
            outcome.endings[attempt(generator(seed, "campaign", part, number))] += 1
        except CheckFailed as failure:
            outcome.failures.append((number, str(failure)))
    outcome.seconds = perf_counter() - begin
    return outcome


def expect(holds: object, sentence: str) -> None:
    """Fail the try unless something holds."""
    if not holds:
        raise CheckFailed(sentence)
