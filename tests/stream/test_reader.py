import logging
import multiprocessing
import os
import pickle
import shutil
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blender import open_blend
from blender.core.errors import StreamError
from blender.shards import tar
from blender.shards.unpack import DamagedSample, unpack_sample
from blender.stream.index import open_stream_blend
from blender.stream.reader import ReaderSettings, ShardReader
from blender.stream.stall import StallWatch


def reading(folder, **changes):
    return ShardReader(open_stream_blend(str(folder)), ReaderSettings(**changes))


def places(reader):
    """Name every sample by split, shard and row."""
    return [
        (split, shard, row)
        for split in reader.blend.splits
        for shard, size in enumerate(reader.blend.shard_sizes(split).tolist())
        for row in range(size)
    ]


def read_all(reader):
    return [reader.read(*place) for place in places(reader)]


def expect_all(samples, folder):
    assert samples == list(open_blend(folder))
    assert all(type(image) is bytes for sample in samples for image in sample.images)


def test_every_sample_is_what_the_blend_holds(written):
    with reading(written) as reader:
        expect_all(read_all(reader), written)


def test_samples_are_read_in_any_order(written):
    with reading(written, max_open=2) as reader:
        assert [reader.read(*place) for place in reversed(places(reader))] == list(open_blend(written))[::-1]


def num_open():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_more_files_stay_open_than_allowed(written):
    reader, before = reading(written, max_open=2), num_open()
    for place in places(reader) * 2:
        reader.read(*place)
        assert num_open() - before <= 2
    reader.close()
    assert num_open() == before


def test_a_closed_reader_opens_its_shards_again(written):
    reader = reading(written)
    first = reader.read("train", 0, 0)
    reader.close()
    assert reader.read("train", 0, 0) == first


def test_a_reader_travels_with_nothing_open(written):
    reader = reading(written)
    reader.read("train", 0, 0)
    with pickle.loads(pickle.dumps(reader)) as copy:
        expect_all(read_all(copy), written)


def send_all(reader, queue):
    queue.put(read_all(reader))


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_workers_and_their_parent_read_at_the_same_time(written, method):
    context = multiprocessing.get_context(method)
    queue, reader = context.Queue(), reading(written, max_open=2)
    read_all(reader)
    workers = [context.Process(target=send_all, args=(reader, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    expect_all(read_all(reader), written)
    for _ in workers:
        expect_all(queue.get(timeout=60), written)
    for worker in workers:
        worker.join()


def test_a_row_beyond_its_shard_is_refused(written):
    reader = reading(written)
    with pytest.raises(IndexError, match=r"train-000000\.tar has 10 samples"):
        reader.read("train", 0, 10)
    with pytest.raises(IndexError):
        reader.read("train", 0, -1)


def test_a_missing_shard_is_named(own_blend):
    (own_blend / "train" / "train-000001.tar").unlink()
    with (
        reading(own_blend) as reader,
        pytest.raises(StreamError, match=r"train/train-000001\.tar .* cannot be read: No such"),
    ):
        reader.read("train", 1, 0)


# damage


def outcomes(folder):
    with reading(folder) as reader:
        return [outcome(reader, place) for place in places(reader)]


def outcome(reader, place):
    return reader.try_read(*place)


@pytest.fixture(scope="module")
def scratch(written, tmp_path_factory):
    """A blend whose damage is repaired, with its samples."""
    copy = shutil.copytree(written, tmp_path_factory.mktemp("scratch") / "blend")
    return copy, outcomes(copy)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_changed_byte_is_the_matter_of_one_sample(scratch, data):
    folder, whole = scratch
    shard = data.draw(st.sampled_from(sorted(folder.glob("*/*.tar"))))
    content = shard.read_bytes()
    index = open_blend(folder).index.rows(named=True)
    rows = [row for row in index if row["shard"] == shard.name and row["split"] == shard.parent.name]
    headers = [member["offset"] - tar.BLOCK for row in rows for member in row["members"]]
    in_header = st.tuples(st.sampled_from(headers), st.integers(0, tar.BLOCK - 1)).map(sum)
    place = data.draw(in_header | st.integers(0, len(content) - 1))
    change = data.draw(st.integers(1, 255))
    owner = next((row for row in rows if row["offset"] <= place < row["offset"] + row["size"]), None)
    try:
        shard.write_bytes(content[:place] + bytes([content[place] ^ change]) + content[place + 1 :])
        after = outcomes(folder)
    finally:
        shard.write_bytes(content)
    different = [(row, new) for row, old, new in zip(index, whole, after, strict=True) if new != old]
    in_padding = not any(
        member["offset"] - tar.BLOCK <= place < member["offset"] + member["size"]
        for row in rows
        for member in row["members"]
    )
    assert [row["key"] for row, _ in different] == ([] if in_padding else [owner["key"]])
    if any(start <= place < start + tar.BLOCK for start in headers):
        damaged = different[0][1]
        assert isinstance(damaged, DamagedSample)
        assert (damaged.key, damaged.shard) == (owner["key"], f"{shard.parent.name}/{shard.name}")


def member(name, content):
    return tar.header(name, len(content)) + content + tar.padding(len(content))


KEY = "train-000000007"


@pytest.fixture(scope="module")
def block(written):
    """The bytes of a sample with several images, under a key of its own."""
    stored = next(sample for sample in open_blend(written) if len(sample.images) > 1)
    text = (written / stored.shard).read_bytes()
    row = next(row for row in open_blend(written).index.rows(named=True) if row["key"] == stored.sample.key)
    contents = [text[place["offset"] : place["offset"] + place["size"]] for place in row["members"]]
    return [contents[0].replace(stored.sample.key.encode(), KEY.encode()), *contents[1:]]


def assemble(text, *images, names=None):
    names = names or ["json", *(f"image{number}.jpg" for number in range(1, len(images) + 1))]
    return b"".join(member(f"{KEY}.{name}", part) for name, part in zip(names, (text, *images), strict=True))


def unpack(block):
    return unpack_sample(
        lambda first, count: block[first : first + count], len(block), KEY, "train", "train/train-000000.tar"
    )


def test_whole_samples_are_unpacked(block):
    assert unpack(assemble(*block)).images == tuple(block[1:])


def signed(header):
    """Write the first digit of a member's size as a plus sign, and the checksum that belongs to it."""
    checksum = int(header[148:154], 8) + ord("+") - ord("0")
    return header[:124] + b"+" + header[125:148] + b"%06o" % checksum + header[154:]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text, *images: assemble(b"{" + text, *images), "malformed"),
        (lambda text, *images: assemble(text.replace(b'"turns"', b'"burns"'), *images), "turns"),
        (lambda text, *images: assemble(b"\xff" + text[1:], *images), ""),
        (lambda text, *images: assemble(text.replace(KEY.encode(), b"train-000000008"), *images), "says that it is"),
        (lambda text, *images: assemble(text, *images[1:]), "it has . images and tells of"),
        (lambda text, *images: assemble(text, images[0], *images), "it has . images and tells of"),
        (lambda text, *images: assemble(text, b"<html>", *images[1:]), "image 1 .* is no image"),
        (lambda text, *images: assemble(text, b"", *images[1:]), "image 1 .* is no image"),
        (lambda text, *images: assemble(text, *images)[:-1024], "longer than its sample"),
        (lambda text, *images: assemble(text, *images)[1:], "no header of member"),
        (lambda text, *images: assemble(text, *images) + bytes(512), "no header of member"),
        (lambda text, *images: assemble(text, *images).replace(KEY.encode() + b".image1", b"x" * 22), "no header"),
        (lambda text, *images: tar.header(f"{KEY}.json", -1) + assemble(text, *images), "no header of member"),
        (lambda text, *images: signed(assemble(text, *images)), "no header of member"),
        (lambda text, *images: b"", "no header of member"),
    ],
)
def test_damage_is_told_with_shard_and_key(block, damage, words):
    with pytest.raises(DamagedSample, match=rf"sample {KEY} in shard train/train-000000.tar is damaged: .*{words}"):
        unpack(damage(*block))


@given(st.binary(max_size=3000))
def test_arbitrary_bytes_are_never_a_sample(noise):
    with pytest.raises(DamagedSample):
        unpack(noise)


def test_a_shard_that_is_cut_short_loses_its_last_samples_alone(own_blend):
    shard = own_blend / "train" / "train-000000.tar"
    whole = outcomes(own_blend)
    row = open_blend(own_blend).index.row(4, named=True)
    os.truncate(shard, row["offset"] + row["size"] - tar.BLOCK)
    after = outcomes(own_blend)
    assert [isinstance(found, DamagedSample) for found in after[:10]] == [False] * 4 + [True] * 6
    assert [*after[:4], *after[10:]] == [*whole[:4], *whole[10:]]


def test_damage_travels_between_processes():
    error = pickle.loads(pickle.dumps(DamagedSample(KEY, "train/train-000000.tar", "it is empty")))
    assert (error.key, error.shard, error.reason) == (KEY, "train/train-000000.tar", "it is empty")


# stalls


def test_a_file_that_hangs_is_reported_again_and_again(own_blend):
    """A pipe in the place of a shard blocks whoever opens it, like a file server that is gone."""
    shard = own_blend / "train" / "train-000000.tar"
    content, reports = shard.read_bytes(), []
    shard.unlink()
    os.mkfifo(shard)

    def answer():
        while len(reports) < 2:
            time.sleep(0.01)
        with shard.open("wb") as pipe:
            pipe.write(content[:10])

    writer = threading.Thread(target=answer)
    writer.start()
    settings = {"stall_seconds": 0.1, "on_stall": lambda shard, seconds: reports.append((shard, seconds))}
    with reading(own_blend, **settings) as reader, pytest.raises(StreamError):
        reader.read("train", 0, 0)
    writer.join()
    assert [shard for shard, _ in reports] == ["train/train-000000.tar"] * len(reports)
    assert reports[0][1] >= 0.1
    assert reports[1][1] >= 0.2


def test_a_stall_is_logged(caplog):
    watch = StallWatch(0.05)
    with caplog.at_level(logging.WARNING):
        watch.begin("train/train-000003.tar")
        time.sleep(0.2)
        watch.end()
        watch.close()
    assert "waiting for shard train/train-000003.tar" in caplog.text


def test_each_stall_is_reported_anew():
    reports = []
    watch = StallWatch(0.1, lambda shard, seconds: reports.append(shard))
    for shard in "ab":
        watch.begin(shard)
        time.sleep(0.19)
        watch.end()
    watch.close()
    assert list(dict.fromkeys(reports)) == ["a", "b"]


def test_quick_reads_are_not_reported():
    reports = []
    watch = StallWatch(0.2, lambda *report: reports.append(report))
    for _ in range(30):
        watch.begin("shard")
        time.sleep(0.01)
        watch.end()
    watch.close()
    assert reports == []


def test_no_thread_outlives_its_reader(written):
    before = threading.active_count()
    for _ in range(3):
        read_all(reading(written, stall_seconds=0.02))
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before
