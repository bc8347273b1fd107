"""Write a blend from a recipe, from the first file read to the manifest; interrupted, go on where it stopped."""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import polars as pl

from blender.blend.layout import LAYOUT_VERSION
from blender.blend.ledger import balance, totals
from blender.blend.plan import Plan, PlanProgress, make_plan
from blender.blend.tables import SPLITS
from blender.core.errors import BlenderError, ShardError
from blender.core.faults import folder_fault, full_disk_told
from blender.core.files import sync, whole_file, write_whole
from blender.core.pool import kept_processes, num_cores
from blender.data.images.files import is_remote, local_path
from blender.recipe import Recipe
from blender.shards.card import choose_example, dataset_card
from blender.shards.executors import run_shards
from blender.shards.folder import LEDGER, BlendFolder, hold_folder
from blender.shards.index import INDEX_NAME, empty_index
from blender.shards.leaks import refuse_leaks
from blender.shards.manifest import (
    MANIFEST_NAME,
    Manifest,
    ManifestCount,
    ManifestFile,
    ManifestShard,
    ManifestTable,
    encode_manifest,
    hash_shards,
)
from blender.shards.planned import write_planned
from blender.shards.publish import RemoteTarget, staging_folder
from blender.shards.seal import Checked, check_files, describe_tables, seal
from blender.shards.write import ShardFailure, ShardNote


@dataclass(frozen=True)
class WriteProgress:
    """What to call while a blend is written."""

    planning: PlanProgress = field(default_factory=PlanProgress)
    #: called once, with the plan, and the shards and samples that are finished already
    on_plan: Callable[[Plan, int, int], None] | None = None
    #: called with what a look at the files of a finished blend found
    on_checked: Callable[[Checked], None] | None = None
    #: called with (samples, bytes) written since the last call
    on_written: Callable[[int, int], None] | None = None
    #: called with (bytes done, bytes in all) while a blend for a URL is uploaded
    on_uploaded: Callable[[int, int], None] | None = None


@dataclass(frozen=True)
class WrittenBlend:
    """What became of a call of :func:`write_blend`."""

    manifest: Manifest
    #: shards written by this call; the others were there
    num_new_shards: int
    #: whether this call has uploaded it
    is_uploaded: bool = False


def write_blend(
    recipe: Recipe,
    out: str | Path,
    *,
    staging: Path | None = None,
    workers: int | None = None,
    executor: str = "local",
    overwrite: bool = False,
    without: Collection[tuple[str, str]] = (),
    checksum: bool = False,
    progress: WriteProgress | None = None,
) -> WrittenBlend:
    """Plan a blend and write it.

    The same recipe and inputs give the same bytes, whatever the number of workers, the executor, or interruptions.

    Args:
        recipe: The recipe.
        out: The folder to write to; a new one, an empty one, or one with this same blend, finished or not. A URL: the
            blend is written on this machine first, then uploaded whole and read back.
        staging: Where a blend for a URL is written; a folder in the cache by default. It is removed afterwards, unless
            the finished blend was in a named folder before.
        workers: Number of processes; all cores by default.
        executor: ``local`` or ``ray``.
        overwrite: Delete another blend that is there.
        without: (store, name) of images that are left out, because they are listed as damaged.
        checksum: Read all files of a finished blend to see whether they are what they were; else only those whose
            modification times are not.
        progress: What to call meanwhile.

    Raises:
        BlenderError: A source, store, recipe or folder is at fault; finished shards are kept.
    """
    workers, progress = workers or num_cores(), progress or WriteProgress()
    target = RemoteTarget(str(out)) if is_remote(str(out)) else None
    path = local_path(str(out)) if target is None else staging or staging_folder(target.url)
    # a folder that the user named may hold a blend of theirs
    may_replace = overwrite or (target is not None and staging is None)
    with hold_folder(path) as folder, kept_processes(), full_disk_told(path):
        plan = make_plan(recipe, folder.parts, workers, executor=executor, without=without, progress=progress.planning)
        if target and (there := target.claim(plan.fingerprint, overwrite=overwrite, checksum=checksum)):
            if progress.on_plan:
                progress.on_plan(plan, len(there.shards), plan.samples.height)
            return WrittenBlend(there, 0)
        try:
            folder.claim(plan.fingerprint, overwrite=may_replace)
            stays = staging is not None and folder.manifest() is not None
            written = _complete(plan, folder, workers, checksum, progress) or _write(
                plan, folder, workers, executor, progress
            )
        except OSError as error:
            raise folder_fault(error, path) from error
        if target:
            target.upload(path, written.manifest, progress.on_uploaded)
            written = replace(written, is_uploaded=True)
            if not stays:
                folder.clear()
    if target:
        with suppress(OSError):
            path.rmdir()
    return written


def _complete(
    plan: Plan, folder: BlendFolder, workers: int, checksum: bool, progress: WriteProgress
) -> WrittenBlend | None:
    """Return the blend that is finished already; where a file of it has changed, it is one to be written again."""
    manifest = folder.manifest()
    if manifest is None:
        return None
    checked = check_files(folder.path, manifest, workers, checksum=checksum)
    if progress.on_checked:
        progress.on_checked(checked)
    if checked.changed:
        folder.reopen()
        return None
    if progress.on_plan:
        progress.on_plan(plan, len(manifest.shards), plan.samples.height)
    return WrittenBlend(manifest, 0)


def _write(plan: Plan, folder: BlendFolder, workers: int, executor: str, progress: WriteProgress) -> WrittenBlend:
    planned, tasks = write_planned(plan, folder.work)
    notes = folder.finished(plan.fingerprint)
    if progress.on_plan:
        progress.on_plan(plan, len(notes), sum(note.num_samples for note in notes.values()))
    left = [task for task in tasks if task.name not in notes]
    failures: list[ShardFailure] = []
    for result in run_shards(
        executor, folder.path, planned, left, workers, progress.on_written or (lambda samples, num_bytes: None)
    ):
        if isinstance(result, ShardFailure):
            failures.append(result)
        else:
            notes[result.path] = result
    if failures:
        raise _told(failures, len(notes), len(tasks))
    ordered = [notes[task.name] for task in tasks]
    if plan.recipe.split.by == "image":
        _refuse_leaks(plan, folder, ordered)
    return WrittenBlend(_finish(plan, folder, ordered), len(left))


def _refuse_leaks(plan: Plan, folder: BlendFolder, notes: list[ShardNote]) -> None:
    """Throw away what was written when eval turns out to share images with train."""
    try:
        refuse_leaks(notes, plan.images)
    except ShardError:
        folder.clear()
        raise


def _told(failures: list[ShardFailure], num_done: int, num_all: int) -> BlenderError:
    first = min(failures, key=lambda failure: failure.path)
    more = f" (and {len(failures) - 1} more shards failed)" if len(failures) > 1 else ""
    kept = f"{num_done} of {num_all} shards are finished and kept; run the same command again to go on"
    hint = "; ".join(filter(None, [first.error.hint, kept]))
    return type(first.error)(f"{first.path}: {first.error.message}{more}", hint)


def _finish(plan: Plan, folder: BlendFolder, notes: list[ShardNote]) -> Manifest:
    """Write index, ledger, card and manifest, in this order; everything has its time before the manifest is there."""
    index = {split: _write_index(folder, split, notes) for split in SPLITS}
    ledger = _with_rewrites(plan.ledger(), notes)
    num_uses = sum(int(frame["num_sources"].sum()) for frame in index.values())
    balance(ledger, plan.tables.num_records, num_uses)
    write_parquet(ledger, folder.path / LEDGER)
    tables = [*(f"{split}/{INDEX_NAME}" for split in SPLITS if index[split].height), LEDGER]
    manifest = _describe(plan, notes, index, ledger, describe_tables(folder.path, tables))
    seal(folder.path, [*manifest.shards, *manifest.tables])
    for split in {shard.split for shard in manifest.shards}:
        sync(folder.path / split)
    write_whole(
        folder.path / "README.md", dataset_card(manifest, index, choose_example(str(folder.path), index)).encode()
    )
    write_whole(folder.path / MANIFEST_NAME, encode_manifest(manifest))
    return manifest


def _write_index(folder: BlendFolder, split: str, notes: list[ShardNote]) -> pl.DataFrame:
    pieces = [
        pl.scan_ipc(folder.work / "done" / Path(note.path).with_suffix(".arrow").name, glob=False).collect()
        for note in notes
        if note.split == split
    ]
    index = pl.concat([empty_index(), *pieces])
    if pieces:
        write_parquet(index, folder.path / split / INDEX_NAME)
    else:
        (folder.path / split).rmdir()
    return index


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Write a table so that nobody ever sees a part of it."""
    with whole_file(path) as aside:
        frame.write_parquet(aside)


def _with_rewrites(ledger: pl.DataFrame, notes: list[ShardNote]) -> pl.DataFrame:
    """Add to each record how many of its references were rewritten, over all samples."""
    pairs = [pair for note in notes for pair in note.rewritten]
    rewrites = (
        pl.DataFrame(pairs, schema={"record": pl.UInt32, "count": pl.UInt32}, orient="row")
        .group_by("record")
        .agg(pl.col("count").sum().alias("references_rewritten"))
    )
    numbered = ledger.with_row_index("number").join(
        rewrites, left_on="number", right_on="record", how="left", maintain_order="left"
    )
    return numbered.with_columns(pl.col("references_rewritten").fill_null(0)).drop("number")


def _describe(
    plan: Plan,
    notes: list[ShardNote],
    index: dict[str, pl.DataFrame],
    ledger: pl.DataFrame,
    tables: list[ManifestTable],
) -> Manifest:
    found = totals(ledger)
    shards = [
        ManifestShard(note.path, note.split, note.num_samples, note.num_images, note.num_bytes, note.sha256)
        for note in notes
    ]
    return Manifest(
        name=plan.recipe.name,
        layout=LAYOUT_VERSION,
        program=program_version(),
        template=plan.recipe.template,
        recipe=plan.recipe.resolved(),
        fingerprint=plan.fingerprint,
        files=[
            ManifestFile(file.source, file.label, file.sha256, file.num_bytes, file.num_records)
            for file in plan.tables.files
        ],
        counts=[count for split in SPLITS for count in _count(index[split], split)],
        shards=shards,
        ledger={**found, "references_rewritten": int(ledger["references_rewritten"].sum())},
        warnings=list(plan.warnings),
        pixel_check=plan.recipe.pixels.check,
        content=hash_shards(shards),
        tables=tables,
    )


def _count(index: pl.DataFrame, split: str) -> list[ManifestCount]:
    counted = index.group_by("dataset", maintain_order=True).agg(
        pl.len(),
        pl.col("num_images").cast(pl.UInt64).sum(),
        pl.col("num_turns").cast(pl.UInt64).sum(),
        (pl.col("question_characters").cast(pl.UInt64) + pl.col("answer_characters")).sum(),
        pl.col("size").sum(),
    )
    return [ManifestCount(row[0], split, *map(int, row[1:])) for row in counted.sort("dataset").iter_rows()]


def program_version() -> str:
    """Return the version of this program."""
    try:
        return version("visualchat-blender")
    except PackageNotFoundError:
        return "unknown"
