"""The skip policy: samples that cannot be used leave their row empty and are counted; many damaged ones stop the run.

A sample that is damaged or cannot be encoded is never replaced by another one, so that all ranks keep the same number
of batches and no sample is seen twice. Whether a row is empty depends on the sample's bytes alone.
"""

import logging
from collections import Counter

from blender.core.errors import StreamError
from blender.shards.unpack import DamagedSample
from blender.stream.encode import Dropped

_log = logging.getLogger(__name__)

#: what became of a sample; None for one that is used
Outcome = DamagedSample | Dropped | None


class SkipPolicy:
    """Counts samples that cannot be used.

    Args:
        max_damaged: More damaged samples in a row than this stop the run.
    """

    def __init__(self, max_damaged: int = 16) -> None:
        self.max_damaged = max_damaged
        #: samples that could not be used so far, by reason
        self.skipped: Counter[str] = Counter()
        #: damaged samples in a row, up to the latest sample
        self.num_consecutive = 0
        #: (shard, key) → what is wrong, once for each damaged sample
        self.damaged: dict[tuple[str, str], str] = {}

    def note(self, outcome: Outcome) -> None:
        """Note the outcome of the next sample, in the order of the stream.

        Raises:
            StreamError: Too many in a row are damaged.
        """
        if isinstance(outcome, Dropped):
            self.skipped[outcome.reason] += 1
        elif outcome is None:
            self.num_consecutive = 0
        else:
            self._note_damaged(outcome)

    def _note_damaged(self, damaged: DamagedSample) -> None:
        self.skipped["damaged"] += 1
        self.num_consecutive += 1
        if (damaged.shard, damaged.key) not in self.damaged:
            self.damaged[damaged.shard, damaged.key] = damaged.reason
            _log.warning("skipped: %s", damaged.message)
        if self.num_consecutive > self.max_damaged:
            raise StreamError(
                f"{self.num_consecutive} damaged samples in a row, the last one {damaged.key} in shard "
                f"{damaged.shard}: {damaged.reason}",
                "run `visualchat verify` on the blend",
            ) from damaged
