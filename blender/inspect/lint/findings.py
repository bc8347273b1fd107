"""What lint says: findings with severity, count, examples and advice."""

from typing import Literal

from msgspec import Struct

#: error: training on it goes wrong or measures wrong; warning: probably not meant; notice: good to know
Severity = Literal["error", "warning", "notice"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "notice")


class Example(Struct, frozen=True, omit_defaults=True):
    """One place where a check found something."""

    #: one sentence
    detail: str
    #: the sample's key; empty where no sample is at fault
    key: str = ""
    dataset: str = ""
    split: str = ""
    #: number of the turn, from 1; 0 where no turn is
    turn: int = 0


class Finding(Struct, frozen=True):
    """What a check found."""

    check: str
    severity: Severity
    #: what was found, without the count: "answers are empty"
    says: str
    #: what to do about it
    advice: str
    #: how many there are, without those that are suppressed
    count: int
    #: the same by dataset; those that belong to none are missing here
    datasets: dict[str, int]
    #: how many the recipe says need not be told
    suppressed: int
    examples: list[Example]


class LintReport(Struct, frozen=True):
    """What all checks found."""

    name: str
    num_samples: int
    num_turns: int
    num_images: int
    #: checks that found something, the worst first; also those all of whose findings are suppressed
    findings: list[Finding]
    #: checks that found nothing
    clean: list[str]
    #: checks that could not be made, or not in full, and why
    not_made: dict[str, str]
    #: suppressions that suppressed nothing, as ``check`` or ``check in dataset``
    idle_suppressions: list[str]

    @property
    def counts(self) -> dict[Severity, int]:
        """How many checks of each severity found something that is told."""
        told = [finding.severity for finding in self.findings if finding.count]
        return {severity: told.count(severity) for severity in SEVERITIES}
