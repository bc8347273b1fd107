"""Answers that teach little: empty ones, single words, and one and the same a thousand times."""

import polars as pl

from blender.core.characters import has_visible
from blender.core.counting import counted
from blender.data.sample import Sample
from blender.inspect.lint.check import Check
from blender.inspect.lint.excerpts import excerpt
from blender.inspect.lint.tables import LintTables, flag_rows, hits_in

#: so many times within a dataset an answer is repeated in any case
_MANY_TIMES = 1_000
#: and so many times, when it is also this share of the dataset's answers
_SOME_TIMES, _LARGE_SHARE = 100, 0.05


def is_empty(turns: pl.DataFrame) -> pl.Series:
    """Say of each turn whether its answer has no visible character."""
    # an answer with a letter of ASCII can be seen; few have none
    suspects = (~turns["answer"].str.contains("[!-~]")).arg_true().to_list()
    answers = turns["answer"].gather(suspects)
    found = [row for row, answer in zip(suspects, answers, strict=True) if not has_visible(answer)]
    return flag_rows(turns, found)


def is_one_word(turns: pl.DataFrame) -> pl.Series:
    """Say of each turn whether its answer is a single word."""
    return turns["answer"].str.contains(r"^\s*\S+\s*$")


def _flagged(name: str, material: LintTables) -> pl.DataFrame:
    return hits_in(material, material.turns.filter(pl.col(name)).select("sample", "turn"))


def _find_empty(material: LintTables) -> pl.DataFrame:
    return _flagged("answer_empty", material)


def _find_one_word(material: LintTables) -> pl.DataFrame:
    return _flagged("answer_one_word", material)


def _find_repeated(material: LintTables) -> pl.DataFrame:
    """Find answers repeated beyond measure; each is one hit, at its first place in the dataset.

    What a blend itself repeats is counted once.
    """
    dataset = material.samples["dataset"].gather(material.turns["sample"])
    answers = material.turns.select("sample", "turn", "answer", "origin").with_columns(dataset)
    distinct = answers.unique(["dataset", "origin"], keep="first", maintain_order=True)
    repeats = distinct.group_by("dataset", "answer", maintain_order=True).agg(
        pl.len().alias("times"), pl.col("sample", "turn").first()
    )
    share = pl.col("times") / pl.col("times").sum().over("dataset")
    repeated = (pl.col("times") >= _MANY_TIMES) | ((pl.col("times") >= _SOME_TIMES) & (share >= _LARGE_SHARE))
    found = repeats.with_columns(share=share).filter(repeated).sort("times", descending=True, maintain_order=True)
    said = [
        f"{counted(times, 'time')} ({share:.1%} of the dataset's answers): "
        f"{excerpt(material.source.read(sample).turns[turn].answer)}"
        for times, share, sample, turn in found.select("times", "share", "sample", "turn").iter_rows()
    ]
    return hits_in(material, found.select("sample", "turn", pl.Series("detail", said, pl.String)))


def _describe_empty(sample: Sample, turn: int) -> str:
    return f"no answer to {excerpt(sample.turns[turn].question)}"


def _describe_one_word(sample: Sample, turn: int) -> str:
    return f"{excerpt(sample.turns[turn].question)} → {excerpt(sample.turns[turn].answer)}"


CHECKS = (
    Check(
        "answer_empty",
        "error",
        "answers are empty",
        "Only the end token is trained there, so the model learns to say nothing. Leave these records out of the "
        "source's files.",
        _find_empty,
        _describe_empty,
    ),
    Check(
        "answer_one_word",
        "notice",
        "answers are a single word",
        "Models trained on many of them answer in one word also when asked to describe. Say in the question that a "
        "short answer is wanted, or take less of the dataset with `repeat` or `samples`.",
        _find_one_word,
        _describe_one_word,
    ),
    Check(
        "answer_repeated",
        "warning",
        "answers are given over and over again",
        "A model learns such an answer by heart and gives it where it does not fit. Look whether it is a refusal or a "
        "placeholder; take less of the dataset, or thin it out.",
        _find_repeated,
    ),
)
