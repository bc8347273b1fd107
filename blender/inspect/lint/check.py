"""What a check is."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from blender.data.sample import Sample
from blender.inspect.lint.findings import Severity
from blender.inspect.lint.tables import LintTables


@dataclass(frozen=True)
class Check:
    """One thing that may be wrong with a blend."""

    name: str
    severity: Severity
    #: what its hits are, in the plural: "answers are empty"
    says: str
    advice: str
    #: finds its hits: columns of :data:`blender.inspect.lint.tables.HITS`
    find: Callable[[LintTables], pl.DataFrame]
    #: says a sentence about a hit that has no detail yet: (sample, turn from 0)
    describe: Callable[[Sample, int], str] | None = None
    #: the same, where more than the sample must be known
    describe_in: Callable[[LintTables, Sample, int], str] | None = None
    #: why the check cannot be made, or not in full; None where it can
    hindrance: Callable[[LintTables], str | None] = lambda material: None
