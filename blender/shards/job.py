"""What a shard is written from: the plan's tables, laid down once for all writers.

A writer anywhere (another process, another machine on a shared folder) opens the job by its folder and needs nothing
else. Tables are memory-mapped, so that writers share them.
"""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from blender.blend.texts import Texts
from blender.data.images import ImageStore, open_store
from blender.data.template import TEMPLATES, Template

if TYPE_CHECKING:
    # writers in other processes need not wait for all that planning imports
    from blender.blend.plan import Plan


def shard_path(split: str, number: int) -> str:
    """Return a shard's path in the blend's folder."""
    return f"{split}/{split}-{number:06d}.tar"


@dataclass(frozen=True)
class ShardTask:
    """One shard to be written: rows ``start:stop`` of the plan's samples."""

    split: str
    number: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Path in the blend's folder."""
        return shard_path(self.split, self.number)

    @property
    def stem(self) -> str:
        """File name without its ending."""
        return Path(self.name).stem


@dataclass(frozen=True)
class Job:
    """A blend being written; hashable, so that each process opens it once."""

    #: the blend's folder
    out: Path
    #: where tables, temporary files and notes of finished shards lie
    work: Path
    fingerprint: str
    template: str
    #: (store, location)
    stores: tuple[tuple[str, str], ...]
    #: folder of the texts, and number of annotation files
    texts: Path
    num_parts: int


@dataclass(frozen=True)
class OpenJob:
    """A job's tables, opened."""

    samples: pl.DataFrame
    #: source (as in a sample's ``sources``), shown
    turns: pl.DataFrame
    images: pl.DataFrame
    texts: Texts
    template: Template
    stores: dict[str, ImageStore]


def lay_down(plan: "Plan", out: Path, work: Path) -> Job:
    """Write the tables that writers need to ``work``."""
    records = plan.corpus.records.select(pl.format("{}/{}/{}", "source", "file", "id").alias("source"))
    turns = plan.corpus.turns
    tables = {
        "samples": plan.samples.drop("num_bytes"),
        "turns": turns.select(records["source"].gather(turns["record"]), "shown", "record"),
        "images": plan.images.with_row_index("image"),
    }
    for name, table in tables.items():
        # never into a file that somebody has mapped
        table.write_ipc(work / f".{name}.arrow")
        (work / f".{name}.arrow").replace(work / f"{name}.arrow")
    return Job(
        out=out,
        work=work,
        fingerprint=plan.fingerprint,
        template=plan.recipe.template,
        stores=tuple(sorted(plan.recipe.images.items())),
        texts=plan.corpus.folder,
        num_parts=len(plan.corpus.files),
    )


def lay_down_texts(plan: "Plan") -> Job:
    """Lay a plan's tables down beside its texts, for those who make samples and write none.

    Stores are left out: they may be absent, and are opened only by those who want pictures.
    """
    return replace(lay_down(plan, plan.corpus.folder, plan.corpus.folder), stores=())


def tasks_of(plan: "Plan") -> list[ShardTask]:
    """List the shards of a plan."""
    runs = plan.samples.with_row_index("row").group_by("split", "shard", maintain_order=True)
    ranges = runs.agg(pl.col("row").min().alias("start"), (pl.col("row").max() + 1).alias("stop"))
    return [ShardTask(*row) for row in ranges.iter_rows()]


@cache
def open_job(job: Job) -> OpenJob:
    """Open a job's tables; once per process."""
    tables = {
        name: pl.scan_ipc(job.work / f"{name}.arrow", glob=False).collect() for name in ("samples", "turns", "images")
    }
    return OpenJob(
        samples=tables["samples"],
        turns=tables["turns"],
        images=tables["images"],
        texts=Texts(job.texts, job.num_parts),
        template=TEMPLATES[job.template],
        stores={name: open_store(name, location) for name, location in job.stores},
    )
