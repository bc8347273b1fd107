"""Options of a recipe about how the files of a source are read, besides the format."""

from dataclasses import dataclass
from typing import Literal

#: what is done with a record of the wrong shape: all of a file's are reported at once, or each is skipped by reason
OnBadRecord = Literal["stop", "skip"]
#: what is done with system messages: the record is skipped, or read without them, or they stay before their question
System = Literal["skip", "drop", "keep"]
#: what is done with a conversation that begins with an answer: it is skipped, or read without that answer
LeadingAnswer = Literal["skip", "drop"]

#: formats whose messages have roles, so that the two above mean something
FORMATS_WITH_ROLES = frozenset({"llava", "sparkles"})


@dataclass(frozen=True)
class ReadOptions:
    """How to read where there is a choice."""

    on_bad_record: OnBadRecord = "stop"
    system: System = "skip"
    leading_answer: LeadingAnswer = "skip"


DEFAULTS = ReadOptions()
