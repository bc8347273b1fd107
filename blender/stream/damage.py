"""What to do about damaged samples: leave their place empty, say so once, and stop when there are too many in a row.

A damaged sample's slot becomes an empty one and never another sample, so that all ranks keep the same number of
batches and no sample is seen twice. Whether a slot is empty depends on the sample's bytes alone. Outcomes may be taken
in the order of the stream in one process, wherever they were read: a :class:`DamagedSample` travels like a sample.
"""

import logging
from collections.abc import Callable
from typing import TypeVar

from blender.core.errors import StreamError
from blender.stream.unpack import DamagedSample

_log = logging.getLogger(__name__)

Slot = TypeVar("Slot")


class DamagePolicy:
    """Empties the slots of damaged samples, counting them.

    Args:
        max_consecutive: More damaged samples in a row than this stop the run.
    """

    def __init__(self, max_consecutive: int = 16) -> None:
        self.max_consecutive = max_consecutive
        #: slots left empty so far
        self.num_empty = 0
        #: how many of them at the end of what was taken so far
        self.num_consecutive = 0
        #: (shard, key) → what is wrong, once for each damaged sample
        self.damaged: dict[tuple[str, str], str] = {}

    def attempt(self, read: Callable[[], Slot]) -> Slot | None:
        """Read a sample; None when it is damaged.

        Raises:
            StreamError: Too many in a row are damaged, or reading failed in another way.
        """
        try:
            outcome: Slot | DamagedSample = read()
        except DamagedSample as error:
            outcome = error
        return self.take(outcome)

    def take(self, outcome: Slot | DamagedSample) -> Slot | None:
        """Take the next outcome in order: the sample itself, or None for a damaged one.

        Raises:
            StreamError: Too many in a row are damaged.
        """
        if not isinstance(outcome, DamagedSample):
            self.num_consecutive = 0
            return outcome
        self._note(outcome)
        if self.num_consecutive > self.max_consecutive:
            raise StreamError(
                f"{self.num_consecutive} damaged samples in a row, the last one {outcome.key} in shard "
                f"{outcome.shard}: {outcome.reason}",
                "run `visualchat verify` on the blend",
            ) from outcome
        return None

    def _note(self, damaged: DamagedSample) -> None:
        self.num_empty += 1
        self.num_consecutive += 1
        place = damaged.shard, damaged.key
        if place not in self.damaged:
            self.damaged[place] = damaged.reason
            _log.warning("skipped: %s", damaged.message)
