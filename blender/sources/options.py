"""How a source's files are read: what a recipe may say about it, besides the format."""

from dataclasses import dataclass
from typing import Literal

#: what is done with a record of the wrong shape: all of a file's are reported at once, or each is skipped by reason
OnBadRecord = Literal["stop", "skip"]


@dataclass(frozen=True)
class ReadOptions:
    """What a reader is asked to do where there is a choice."""

    on_bad_record: OnBadRecord = "stop"


DEFAULTS = ReadOptions()
