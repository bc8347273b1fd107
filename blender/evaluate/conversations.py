"""The conversations that models are asked, with references where the data has them."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from blender.evaluate.drawn_checks import DrawnCheck


@dataclass(frozen=True)
class Question:
    """One round."""

    #: numbers, from 1 through the conversation, of the images newly shown
    images: tuple[int, ...]
    #: their names, as the data has them
    names: tuple[str, ...]
    question: str
    #: the right answer; None where the data has none
    reference: str | None = None
    #: decides whether an answer is right; None where the question is not about drawn pictures
    check: DrawnCheck | None = None
    #: instruction before the question; that of the first round replaces the template's own
    system: str = ""


@dataclass(frozen=True)
class EvalConversation:
    """Questions that are asked one after the other."""

    #: unique among its data
    name: str
    dataset: str
    rounds: tuple[Question, ...]
    #: reads the files of all images, in the order shown
    read: Callable[[], tuple[bytes, ...]] = field(compare=False)

    @property
    def num_images(self) -> int:
        """Images in all rounds."""
        return sum(len(question.images) for question in self.rounds)

    @property
    def has_references(self) -> bool:
        """Whether every round has a right answer."""
        return all(question.reference is not None for question in self.rounds)


@dataclass(frozen=True)
class EvalData:
    """One file of conversations, or one split of a blend."""

    #: unique among what is evaluated together
    name: str
    conversations: tuple[EvalConversation, ...]
    #: warnings for the reader, such as records that cannot be asked
    warnings: tuple[str, ...] = ()

    def fingerprints(self) -> dict[str, str]:
        """Return a hash of each conversation: of its texts and the names of its images."""
        return {each.name: _fingerprint(each.dataset, each.rounds) for each in self.conversations}


def _fingerprint(dataset: str, rounds: Sequence[Question]) -> str:
    plain = [dataset, [(q.images, q.names, q.question, q.reference, q.check and q.check.kind) for q in rounds]]
    return hashlib.sha256(msgspec.json.encode(plain)).hexdigest()[:16]
