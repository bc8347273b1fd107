"""Check a blend from end to end: checksums, index, and that every sample can be read and every image used.

Images are looked at by the code that looks at them while a blend is planned, under the same level, so that what one
accepted the other does.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import polars as pl

from blender.blend.ledger import totals
from blender.blend.tables import SPLITS
from blender.core.checksums import file_hash
from blender.core.errors import BlenderError, ShardError
from blender.core.pool import map_unordered, num_cores
from blender.data.images import Check, DamagedImage, ImageLimits
from blender.data.images.checking import check_image
from blender.data.images.files import ByteFile
from blender.data.sample import Sample
from blender.data.template import IMAGE
from blender.shards.energon import energon_problems, index_file
from blender.shards.index import INDEX_NAME
from blender.shards.location import open_shard, read_block
from blender.shards.manifest import Manifest, ManifestShard
from blender.shards.reader import Blend, decode_sample, open_blend
from blender.shards.tar import BLOCK, END, header
from blender.shards.wids import WIDS, wids_problems

#: bytes that are hashed at a time
_PIECE = 8 << 20


class DamagedMember(msgspec.Struct, frozen=True):
    """An image of a blend that cannot be used."""

    #: of the sample
    key: str
    #: name of the image's file in the shard
    member: str
    #: where it came from: image store and name
    store: str
    name: str
    #: a word for counting, and a sentence
    reason: str
    detail: str


@dataclass(frozen=True)
class VerifyResult:
    """The result of checking a shard, or the files around the shards."""

    path: str
    num_samples: int
    num_images: int
    num_bytes: int
    #: one sentence each; empty when all is well
    problems: tuple[str, ...]
    #: the images that cannot be used; each is among the problems, too
    damaged: tuple[DamagedMember, ...] = ()


@dataclass(frozen=True)
class _VerifyTask:
    #: folder of the tables
    folder: Path
    #: path or URL of the shard
    location: str
    shard: ManifestShard
    limits: ImageLimits
    check: Check


def verify_blend(
    path: str | Path,
    workers: int | None = None,
    on_shard: Callable[[VerifyResult], None] | None = None,
    check: Check | None = None,
) -> list[VerifyResult]:
    """Check every shard of a blend, and the files around them.

    Args:
        path: The blend's folder, or its URL; every byte behind a URL is fetched.
        workers: Number of processes; all cores by default.
        on_shard: Called with the result of each shard.
        check: How closely to look at images; as closely as while the blend was planned by default.

    Raises:
        ShardError: The folder is not a finished blend.
    """
    blend = open_blend(path)
    results = [_check_folder(blend)]
    check, limits = check or level_of(blend.manifest), _limits_of(blend.manifest)
    tasks = [_VerifyTask(blend.path, blend.shard(shard.path), shard, limits, check) for shard in blend.manifest.shards]
    num_bytes = sum(shard.num_bytes for shard in blend.manifest.shards)
    workers = min(workers or num_cores(), len(tasks)) if num_bytes > 30_000_000 else 1
    for result in map_unordered(_check_shard, tasks, workers):
        results.append(result)
        if on_shard:
            on_shard(result)
    return sorted(results, key=lambda result: result.path)


def level_of(manifest: Manifest) -> Check:
    """Return how closely a blend's images were looked at; ``auto`` for one of a version that did not note it."""
    return manifest.pixel_check or "auto"


def _limits_of(manifest: Manifest) -> ImageLimits:
    limits, usual = manifest.recipe.get("limits", {}), ImageLimits()
    return ImageLimits(
        max_pixels=int(limits.get("image_pixels", usual.max_pixels)),
        max_bytes=int(limits.get("image_bytes", usual.max_bytes)),
    )


def _check_folder(blend: Blend) -> VerifyResult:
    return VerifyResult("", 0, 0, 0, tuple(_folder_problems(blend)))


def _folder_problems(blend: Blend) -> Iterator[str]:
    shards = {blend.path / shard.path for shard in blend.manifest.shards}
    known = shards | {index_file(shard) for shard in shards}
    for split in SPLITS:
        for file in sorted((blend.path / split).glob("*")):
            if file not in known and file.name not in (INDEX_NAME, WIDS) and not file.match("lengths-*.npy"):
                yield f"{file.relative_to(blend.path).as_posix()} does not belong to the blend"
    if blend.manifest.content not in ("", blend.manifest.identity):
        yield "manifest.json contradicts itself: its content is not that of its shards"
    yield from _table_problems(blend)


def _table_problems(blend: Blend) -> Iterator[str]:
    """Check index and ledger, and what other loaders were given of them."""
    try:
        found, told = totals(blend.ledger), blend.manifest.ledger
        if any(found[name] != told.get(name) for name in found):
            yield "ledger.parquet and manifest.json tell different totals"
        yield from (
            f"{table.path} has another checksum than manifest.json says"
            for table in blend.manifest.tables
            if file_hash(blend.path / table.path) != table.sha256
        )
        if blend.index.height != blend.manifest.num_samples:
            yield f"the index has {blend.index.height} samples, manifest.json {blend.manifest.num_samples}"
        if int(blend.index["num_sources"].sum()) != told["uses"]:
            yield "the ledger does not balance against the samples"
        yield from energon_problems(blend)
        yield from wids_problems(blend)
    except ShardError as error:
        yield str(error)
    except (OSError, pl.exceptions.PolarsError) as error:
        yield f"index or ledger cannot be read: {error}"


def _check_shard(task: _VerifyTask) -> VerifyResult:
    shard = task.shard
    try:
        with open_shard(task.location) as file:
            return _check_open(task, file)
    except ShardError as error:
        is_missing = isinstance(error.__cause__, FileNotFoundError)
        return VerifyResult(shard.path, 0, 0, 0, (f"{shard.path} is missing" if is_missing else error.message,))


def _check_open(task: _VerifyTask, file: ByteFile) -> VerifyResult:
    shard, problems, damaged, num_images = task.shard, list[str](), list[DamagedMember](), 0
    if file.num_bytes != shard.num_bytes:
        problems.append(f"{shard.path} has {file.num_bytes:,} bytes, manifest.json says {shard.num_bytes:,}")
    elif _hash(task, file) != shard.sha256:
        problems.append(f"{shard.path} has another checksum than manifest.json says")
    split, _, name = shard.path.partition("/")
    try:
        index = pl.read_parquet(task.folder / split / INDEX_NAME, glob=False).filter(pl.col("shard") == name)
    except (OSError, pl.exceptions.PolarsError) as error:
        return VerifyResult(shard.path, 0, 0, 0, (*problems, f"the index of {shard.path} cannot be read: {error}"))
    if index.height != shard.num_samples:
        problems.append(f"{shard.path}: {index.height} samples in the index, {shard.num_samples} in manifest.json")
    end = 0
    for row in index.iter_rows(named=True):
        found = list(_sample_problems(task, file, row, end))
        damaged += [problem for problem in found if isinstance(problem, DamagedMember)]
        problems += [f"{shard.path}, sample {row['key']}: {_sentence(problem)}" for problem in found]
        end, num_images = row["offset"] + row["size"], num_images + row["num_images"]
    if file.num_bytes == shard.num_bytes and end + len(END) != shard.num_bytes:
        problems.append(f"{shard.path} holds {shard.num_bytes - end - len(END):,} bytes that no sample owns")
    return VerifyResult(shard.path, index.height, num_images, shard.num_bytes, tuple(problems), tuple(damaged))


def _hash(task: _VerifyTask, file: ByteFile) -> str:
    digest = hashlib.sha256()
    for offset in range(0, file.num_bytes, _PIECE):
        digest.update(read_block(file, task.location, offset, _PIECE))
    return digest.hexdigest()


def _sentence(problem: str | DamagedMember) -> str:
    return problem.detail if isinstance(problem, DamagedMember) else problem


def _sample_problems(
    task: _VerifyTask, file: ByteFile, row: dict[str, object], expected_offset: int
) -> Iterator[str | DamagedMember]:
    if row["offset"] != expected_offset:
        yield f"begins at byte {row['offset']}, not at {expected_offset}"
    try:
        sample, images = _read_by_index(task, file, row)
    except BlenderError as error:
        yield error.message
        return
    yield from _member_problems(task, file, row)
    counts = (len(sample.images), len(sample.turns), len(sample.sources))
    if sample.key != row["key"] or counts != (row["num_images"], row["num_turns"], row["num_sources"]):
        yield "is not what the index says"
    if [number for turn in sample.turns for number in turn.images] != list(range(1, len(sample.images) + 1)):
        yield "its turns do not show its images in order"
    if sum(span.text.count(IMAGE) for span in sample.spans if not span.train) != len(images):
        yield "its text and its images differ in number"
    yield from _image_problems(task, row, sample, images)


def _read_by_index(task: _VerifyTask, file: ByteFile, row: dict[str, object]) -> tuple[Sample, list[bytes]]:
    """Read a sample and its images where the index says they are, whatever the headers say."""
    offset, size = int(str(row["offset"])), int(str(row["size"]))
    block = read_block(file, task.location, offset, size)
    members: list[dict[str, int]] = row["members"]  # type: ignore[assignment]
    starts = [member["offset"] - offset for member in members]
    text, *images = [block[start : start + member["size"]] for start, member in zip(starts, members, strict=True)]
    return decode_sample(text, str(row["key"]), task.location), images


def _member_problems(task: _VerifyTask, file: ByteFile, row: dict[str, object]) -> Iterator[str]:
    members: list[dict[str, object]] = row["members"]  # type: ignore[assignment]
    for member in members:
        found = read_block(file, task.location, int(str(member["offset"])) - BLOCK, BLOCK)
        if found != header(str(member["name"]), int(str(member["size"]))):
            yield f"no member {member['name']} where the index says"


def _image_problems(
    task: _VerifyTask, row: dict[str, object], sample: Sample, images: Sequence[bytes]
) -> Iterator[str | DamagedMember]:
    members: list[dict[str, object]] = row["members"]  # type: ignore[assignment]
    for number, (fact, content) in enumerate(zip(sample.images, images, strict=False), 1):
        try:
            size = check_image(content, task.limits, task.check)
        except DamagedImage as damage:
            detail = f"image {number} ({fact.name}) cannot be used: {damage.why}"
            name = str(members[number]["name"])
            yield DamagedMember(str(row["key"]), name, fact.store, fact.name, damage.reason, detail)
            continue
        if size != (fact.width, fact.height):
            yield f"image {number} ({fact.name}) is {size[0]}x{size[1]}, not {fact.width}x{fact.height}"
