"""Tables of figures, for the terminal and for the page: their columns, and how figures are written.

A column is left out when its figure is known of no group, a count of failures also when it is zero everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from blender.evaluate.summary import Group, Summary


@dataclass(frozen=True)
class _Figure:
    #: attribute of :class:`~blender.evaluate.summary.Scores`
    name: str
    title: str
    decimals: int
    #: None for a figure that is neither good nor bad
    more_is_better: bool | None


_FIGURES = (
    _Figure("questions", "questions", 0, None),
    _Figure("failed", "not asked", 0, None),
    _Figure("accuracy", "accuracy", 3, True),
    _Figure("exact", "exact", 3, True),
    _Figure("contained", "contained", 3, True),
    _Figure("f1", "F1", 3, True),
    _Figure("rouge_l", "ROUGE-L", 3, True),
    _Figure("bleu", "BLEU", 2, True),
    _Figure("cider", "CIDEr", 3, True),
    _Figure("loss", "loss", 4, False),
    _Figure("perplexity", "perplexity", 2, False),
)
TITLES = {figure.name: figure.title for figure in _FIGURES}


@dataclass(frozen=True)
class FigureCell:
    """A figure as people read it."""

    #: empty where there is none
    text: str
    #: whether it is the best of several models
    is_best: bool


@dataclass(frozen=True)
class FigureRow:
    """The figures of one model for one group."""

    #: empty in all rows of a group but the first
    group: str
    model: str
    cells: list[FigureCell]


@dataclass(frozen=True)
class FigureTable:
    """The figures of all groups of one kind."""

    #: all, kind, dataset, images or round
    by: str
    #: titles of the group, the model and each figure
    columns: list[str]
    rows: list[FigureRow]


def figure_tables(summary: Summary) -> list[FigureTable]:
    """Make a table of each kind of group; one that has a single group says nothing new and is left out."""
    by_kind = [(by, list(groups)) for by, groups in groupby(summary.groups, lambda group: group.by)]
    return [figure_table(by, groups, summary.models) for by, groups in by_kind if by == "all" or len(groups) > 1]


def figure_table(by: str, groups: Sequence[Group], models: Sequence[str]) -> FigureTable:
    """Make the table of some groups of one kind: a row for each group and model, a column for each known figure."""
    figures = [figure for figure in _FIGURES if by != "kind" or figure.name in ("questions", "accuracy")]
    known = [figure for figure in figures if _is_known(groups, models, figure)]
    rows = [
        FigureRow(
            group.value if model == models[0] else "",
            model,
            [_cell(group, model, models, figure) for figure in known],
        )
        for group in groups
        for model in models
    ]
    return FigureTable(by, ["" if by == "all" else by, "model", *(figure.title for figure in known)], rows)


def _value(group: Group, model: str, figure: _Figure) -> float | None:
    value: float | None = getattr(group.models[model], figure.name)
    return value


def _is_known(groups: Sequence[Group], models: Sequence[str], figure: _Figure) -> bool:
    values = [_value(group, model, figure) for group in groups for model in models]
    return any(values) if figure.name == "failed" else any(value is not None for value in values)


def _cell(group: Group, model: str, models: Sequence[str], figure: _Figure) -> FigureCell:
    value = _value(group, model, figure)
    if value is None:
        return FigureCell("", is_best=False)
    known = [other for name in models if (other := _value(group, name, figure)) is not None]
    best = None if figure.more_is_better is None else max(known) if figure.more_is_better else min(known)
    return FigureCell(f"{value:,.{figure.decimals}f}", is_best=value == best and len(set(known)) > 1)
