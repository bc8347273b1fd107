import hashlib
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blender import load_recipe, open_blend, write_blend
from blender.core.errors import StreamError
from blender.stream.cache import ShardCache
from blender.stream.index import StreamShard, open_stream_blend
from blender.stream.reader import ReaderSettings, ShardReader
from blender.stream.remote import Retries
from tests import corpora
from tests.servers import address, asked_for, bucket, serving, upload
from tests.stream.test_reader import expect_all, places, read_all, send_all

QUICK = Retries(num_tries=4, first_pause=0.01, silence=20)
FIRST = "train-000000.tar"


@pytest.fixture(scope="module")
def folder(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("far") / "blend"
    write_blend(load_recipe(corpora.write_recipe(corpus)), folder, workers=1)
    return folder


@pytest.fixture
def server(folder):
    with serving(folder) as server:
        yield server


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def reading(location, cache, **changes):
    blend = open_stream_blend(location, QUICK)
    return ShardReader(blend, ReaderSettings(**{"cache_folder": cache, "retries": QUICK, **changes}))


def shards_of(reader):
    return [shard for split in reader.blend.splits.values() for shard in split.shards]


def num_bytes_in(cache):
    """Add up the files of a cache, while others change it."""
    return sum(num_bytes_of(path) for path in list(cache.iterdir()))


def num_bytes_of(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def in_cache(cache, shard):
    return (cache / f"{shard.sha256}.tar").is_file()


def wait_until(happened, seconds=20):
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


# reading through the cache


def expect_whole(location, cache, folder):
    with reading(location, cache) as reader:
        expect_all(read_all(reader), folder)
        for shard in shards_of(reader):
            content = (cache / f"{shard.sha256}.tar").read_bytes()
            assert hashlib.sha256(content).hexdigest() == shard.sha256
        assert not list(cache.glob("*.partial"))


@pytest.mark.parametrize("ranges", [True, False])
def test_a_blend_on_the_web_is_read(folder, cache, ranges):
    with serving(folder, ranges) as server:
        expect_whole(address(server), cache, folder)


def test_a_blend_in_a_bucket_is_read(folder, cache):
    with bucket() as client:
        expect_whole(upload(client, "far/blend", folder), cache, folder)


def test_a_blend_in_memory_is_read_in_pieces(folder, cache, monkeypatch):
    monkeypatch.setattr("blender.stream.remote._PIECE", 1000)
    memory = fsspec.filesystem("memory")
    memory.put(str(folder), "/far", recursive=True)
    expect_whole("memory://far", cache, folder)
    memory.rm("/far", recursive=True)


def test_a_shard_is_fetched_once(server, cache, folder):
    for _ in range(2):
        with reading(address(server), cache) as reader:
            read_all(reader)
    assert [asked_for(server, name) for name in (FIRST, "train-000001.tar", "eval-000000.tar")] == [1, 1, 1]


def test_the_cache_serves_while_the_server_is_down(folder, cache):
    with serving(folder) as server:
        reader = reading(address(server), cache)
        expect_all(read_all(reader), folder)
    reader.close()
    expect_all(read_all(reader), folder)


# faults on the way


@pytest.mark.parametrize("fault", [500, 503, 429, "cut", "wrong", "long"])
def test_a_fault_on_the_way_is_tried_again(server, cache, folder, fault):
    server.faults[FIRST] = [fault, fault]
    expect_whole(address(server), cache, folder)
    assert asked_for(server, FIRST) == 3


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (500, "500"),
        ("cut", "cannot be read"),
        ("wrong", r"the checksum is not the one in manifest\.json"),
        ("long", r"more than [\d,]+ bytes came"),
    ],
)
def test_a_fault_that_stays_names_shard_and_address(server, cache, fault, words):
    server.faults[FIRST] = [fault] * 4
    reader = reading(address(server), cache)
    with pytest.raises(
        StreamError, match=rf"shard train/{FIRST} \({address(server)}/train/{FIRST}\).*{words}"
    ) as caught:
        reader.read("train", 0, 0)
    assert "tried 4 times" in caught.value.hint
    assert asked_for(server, FIRST) == 4
    assert num_bytes_in(cache) == 0
    assert reader.read("train", 0, 0).sample.key == "train-000000000", "the next try may succeed"


def test_a_shard_that_is_not_there_is_not_asked_for_again(server, cache):
    reader = reading(address(server), cache)
    server.faults[FIRST] = [404]
    with pytest.raises(StreamError, match=f"{FIRST}.*no such file"):
        reader.read("train", 0, 0)
    server.faults[FIRST] = [403]
    with pytest.raises(StreamError, match=f"{FIRST}.*403"):
        reader.read("train", 0, 0)
    assert asked_for(server, FIRST) == 2


def test_a_server_that_falls_silent_is_asked_again(server, cache, folder):
    server.faults[FIRST] = ["silent"]
    reader = reading(address(server), cache, retries=Retries(num_tries=3, first_pause=0.01, silence=0.2))
    start = time.monotonic()
    assert reader.read("train", 0, 0) == open_blend(folder)[0]
    assert time.monotonic() - start < 10, "the server says nothing for 20 s"


def test_pauses_grow_and_differ_between_processes():
    retries = Retries(first_pause=1, longest_pause=8)
    pauses = [retries.pause(number, "x") for number in range(1, 7)]
    for pause, longest in zip(pauses, [1, 2, 4, 8, 8, 8], strict=True):
        assert longest / 2 <= pause <= longest
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(retries.pause, (1, "x")) != pauses[0]


def test_a_stalled_download_is_reported_with_its_shard(server, cache):
    reports = []

    def report(shard, seconds):
        reports.append((shard, seconds))
        server.go_on.set()

    reader = reading(address(server), cache, stall_seconds=0.2, on_stall=report)
    server.faults[FIRST] = ["stall"]
    reader.read("train", 0, 0)
    assert reports[0][0] == f"train/{FIRST}"
    assert reports[0][1] >= 0.2


# the bound


def test_the_cache_never_holds_more_than_it_may(server, cache, folder):
    reader = reading(address(server), cache, max_open=1)
    shards = shards_of(reader)
    bound = 2 * max(shard.num_bytes for shard in shards)
    reader = reading(address(server), cache, max_open=1, max_cache_bytes=bound)
    cache.mkdir()
    server.slowness, seen, done = 0.001, [], threading.Event()

    def look():
        while not done.is_set():
            seen.append(num_bytes_in(cache))

    watcher = threading.Thread(target=look)
    watcher.start()
    for split in reader.blend.splits:
        count = len(reader.blend.split(split).shards)
        for shard in range(count):
            reader.prefetch(split, range(shard + 1, count))
            reader.read(split, shard, 0)
    expect_all(read_all(reader), folder)
    done.set()
    watcher.join()
    assert 0 < max(seen) <= bound
    reader.close()


SIZE = 1000
SHARDS = [
    StreamShard(f"train/train-{number:06d}.tar", 1, SIZE, f"{7 * number % 10:064x}", number) for number in range(10)
]


def use(cache, shard, keep=()):
    claim = cache.claim(shard, {other.sha256 for other in keep})
    if not claim.is_whole:
        os.truncate(claim.descriptor, SIZE)
        cache.commit(shard, claim)
    os.close(claim.descriptor)
    return claim.is_whole


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 5), st.lists(st.sampled_from(SHARDS), max_size=30))
def test_what_was_used_longest_ago_goes_first(room, uses):
    with TemporaryDirectory() as folder:
        cache, model = ShardCache(Path(folder), room * SIZE), []
        for shard in uses:
            assert use(cache, shard) == (shard in model)
            model = [*(other for other in model if other is not shard), shard][-room:]
            assert [other for other in SHARDS if cache.holds(other)] == [other for other in SHARDS if other in model]


def test_what_is_soon_needed_goes_last(cache):
    cache = ShardCache(cache, 3 * SIZE)
    for shard in SHARDS[:3]:
        use(cache, shard)
    use(cache, SHARDS[3], keep=SHARDS[:2])
    assert [cache.holds(shard) for shard in SHARDS[:4]] == [True, True, False, True]
    use(cache, SHARDS[4], keep=[*SHARDS[:2], SHARDS[3]])
    assert [cache.holds(shard) for shard in SHARDS[:5]] == [False, True, False, True, True]


def test_an_open_shard_is_read_on_after_it_was_deleted(server, cache, folder):
    shards = shards_of(reading(address(server), cache))
    bound = max(shard.num_bytes for shard in shards)
    reader = reading(address(server), cache, max_cache_bytes=bound)
    for _ in range(2):
        expect_all(read_all(reader), folder)
    assert asked_for(server, "train-000001.tar") == 1


def test_a_cache_that_is_too_small_for_a_shard_is_refused(server, cache):
    reader = reading(address(server), cache, max_cache_bytes=1000)
    with pytest.raises(StreamError, match=rf"does not fit into the shard cache {cache} of 1,000 bytes"):
        reader.read("train", 0, 0)


def test_a_cache_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StreamError, match="shard cache .*file/cache cannot be used"):
        reading(address(server), tmp_path / "file" / "cache").read("train", 0, 0)


def test_a_full_disk_is_told_at_once(server, cache, folder):
    reader = reading(address(server), cache, retries=Retries(num_tries=3, first_pause=100))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(StreamError, match="shard cache cannot be written"):
            reader.read("train", 0, 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert num_bytes_in(cache) == 0
    assert reader.read("train", 0, 0) == open_blend(folder)[0]


def test_strangers_files_in_the_folder_are_left_alone(server, cache, folder):
    cache.mkdir()
    for name in ("notes.txt", "x.tar", "y.partial"):
        (cache / name).write_text("mine")
    reader = reading(address(server), cache, max_cache_bytes=200_000, max_open=1)
    expect_all(read_all(reader), folder)
    assert all((cache / name).read_text() == "mine" for name in ("notes.txt", "x.tar", "y.partial"))


def test_a_copy_of_another_length_is_fetched_again(server, cache, folder):
    reader = reading(address(server), cache)
    reader.read("train", 0, 0)
    reader.close()
    os.truncate(cache / f"{shards_of(reader)[0].sha256}.tar", 1000)
    assert reader.read("train", 0, 9) == open_blend(folder)[9]


# fetching ahead


def test_upcoming_shards_come_before_they_are_needed(server, cache, folder):
    reader = reading(address(server), cache)
    shards = reader.blend.split("train").shards
    reader.prefetch("train", [2, 0])
    wait_until(lambda: in_cache(cache, shards[2]) and in_cache(cache, shards[0]))
    assert [name for name, _ in server.asked if name.endswith(".tar")] == ["train-000002.tar", FIRST]
    assert reader.read("train", 2, 0) == open_blend(folder)[20]
    assert asked_for(server, "train-000002.tar") == 1


def test_nothing_upcoming_or_open_is_deleted_for_what_comes_later(server, cache):
    reader = reading(address(server), cache)
    shards = reader.blend.split("train").shards
    reader = reading(address(server), cache, max_cache_bytes=sum(shard.num_bytes for shard in shards[:3]))
    reader.read("train", 0, 0)
    reader.prefetch("train", [1, 2, 3, 4])
    wait_until(lambda: in_cache(cache, shards[1]) and in_cache(cache, shards[2]))
    time.sleep(0.1)
    assert [in_cache(cache, shard) for shard in shards[:5]] == [True, True, True, False, False]


def test_a_new_list_replaces_the_old_one(server, cache):
    reader = reading(address(server), cache)
    shards = reader.blend.split("train").shards
    server.faults["train-000001.tar"] = ["stall"]
    reader.prefetch("train", [1, 2])
    assert server.stalled.wait(10)
    reader.prefetch("train", [3])
    server.go_on.set()
    wait_until(lambda: in_cache(cache, shards[3]))
    assert not in_cache(cache, shards[2])


def test_a_shard_on_its_way_is_waited_for(server, cache, folder):
    reader = reading(address(server), cache)
    server.faults["train-000001.tar"] = ["stall"]
    reader.prefetch("train", [1])
    assert server.stalled.wait(10)
    threading.Timer(0.2, server.go_on.set).start()
    assert reader.read("train", 1, 0) == open_blend(folder)[10]
    assert asked_for(server, "train-000001.tar") == 1


def test_a_fault_in_fetching_ahead_is_told_only_to_who_needs_the_shard(server, cache, folder):
    reader = reading(address(server), cache)
    server.faults[FIRST] = [404]
    reader.prefetch("train", [0, 1])
    wait_until(lambda: in_cache(cache, reader.blend.split("train").shards[1]))
    assert reader.read("train", 0, 0) == open_blend(folder)[0]


def test_a_closed_reader_gives_its_download_up(server, cache):
    reader = reading(address(server), cache)
    server.faults["train-000001.tar"] = ["stall"]
    reader.prefetch("train", [1])
    assert server.stalled.wait(10)
    reader.close()
    server.go_on.set()
    wait_until(lambda: not list(cache.glob("*.partial")))
    wait_until(lambda: all(thread.name != "prefetch" for thread in threading.enumerate()))


# several processes


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_processes_share_a_cache(server, cache, folder, method):
    context = multiprocessing.get_context(method)
    queue, reader = context.Queue(), reading(address(server), cache)
    reader.read("eval", 0, 0)
    server.slowness = 0.005
    workers = [context.Process(target=send_all, args=(reader, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for _ in workers:
        expect_all(queue.get(timeout=60), folder)
    for worker in workers:
        worker.join()
    assert all(asked_for(server, name) == 1 for name in (FIRST, "train-000001.tar", "eval-000000.tar"))


def test_processes_that_share_a_cache_of_one_shard_all_come_through(server, cache, folder):
    context = multiprocessing.get_context("spawn")
    bound = max(shard.num_bytes for shard in shards_of(reading(address(server), cache)))
    queue, reader = context.Queue(), reading(address(server), cache, max_cache_bytes=bound, max_open=1)
    workers = [context.Process(target=send_all, args=(reader, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for _ in workers:
        expect_all(queue.get(timeout=60), folder)
    for worker in workers:
        worker.join()
    assert num_bytes_in(cache) <= bound


KILLED = """
import sys
from pathlib import Path
from blender.stream.index import open_stream_blend
from blender.stream.reader import ReaderSettings, ShardReader
reader = ShardReader(open_stream_blend(sys.argv[1]), ReaderSettings(cache_folder=Path(sys.argv[2])))
reader.read("train", 0, 0)
"""


def test_after_a_kill_nothing_half_is_left_in_the_way(server, cache, folder):
    server.faults[FIRST] = ["stall"]
    process = subprocess.Popen([sys.executable, "-c", KILLED, address(server), str(cache)])
    assert server.stalled.wait(30)
    wait_until(lambda: num_bytes_in(cache) > 0)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = list(cache.glob("*.partial"))
    assert len(left) == 1
    assert not list(cache.glob("*.tar")), "no half file has the name of a whole one"
    reader = reading(address(server), cache)
    reader.read("train", 1, 0)
    assert not left[0].exists(), "another shard's download clears it away"
    assert reader.read("train", 0, 0) == open_blend(folder)[0]
    server.go_on.set()


@pytest.mark.slow
def test_kills_at_any_moment_leave_whole_shards_alone(server, cache, folder):
    server.slowness = 0.1
    reader = reading(address(server), cache)
    checksums = {shard.sha256 for shard in shards_of(reader)}
    more = "for shard in range(1, 6): reader.read('train', shard, 0)"
    command = [sys.executable, "-c", KILLED + more, address(server), str(cache)]
    caught_in_the_act = 0
    for number in range(4):
        process, already = subprocess.Popen(command), len(server.asked)
        wait_until(lambda already=already: any(name.endswith(".tar") for name, _ in server.asked[already:]))
        time.sleep(0.05 * number)
        process.kill()
        process.wait()
        caught_in_the_act += bool(list(cache.glob("*.partial")))
        for path in cache.glob("*.tar"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem
            assert path.stem in checksums
            path.unlink()
    assert caught_in_the_act > 1
    server.slowness = 0
    expect_all(read_all(reader), folder)
    assert not list(cache.glob("*.partial"))


def hold_and_sleep(shard, folder, max_bytes, begun):
    ShardCache(folder, max_bytes).claim(shard)
    begun.set()
    time.sleep(60)


def test_a_living_process_keeps_its_half_file(tmp_path):
    shard = StreamShard("train/train-000000.tar", 1, 5000, "a" * 64, 0)
    other = StreamShard("train/train-000001.tar", 1, 5000, "b" * 64, 1)
    context = multiprocessing.get_context("spawn")
    begun, cache = context.Event(), ShardCache(tmp_path, 9000)
    process = context.Process(target=hold_and_sleep, args=(shard, tmp_path, 9000, begun))
    process.start()
    assert begun.wait(30)
    assert cache.claim(shard) is None, "it is being fetched"
    assert cache.claim(other) is None, "its bytes are spoken for"
    process.kill()
    process.join()
    claim = cache.claim(shard)
    assert claim is not None
    assert not claim.is_whole
    cache.abandon(shard, claim)


def test_a_fork_keeps_no_lock_of_its_parent(tmp_path):
    """A worker that was forked during a download outlives its parent for a while."""
    shard = StreamShard("train/train-000000.tar", 1, 5000, "a" * 64, 0)
    report, inherited = os.pipe()
    parent = os.fork()
    if parent == 0:
        ShardCache(tmp_path, 9000).claim(shard)
        child = os.fork()
        if child == 0:
            time.sleep(60)
        os.write(inherited, str(child).encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(parent, 0)
    child = int(os.read(report, 20))
    claim = ShardCache(tmp_path, 9000).claim(shard)
    os.kill(child, signal.SIGKILL)
    assert claim is not None
    assert not claim.is_whole
    ShardCache(tmp_path, 9000).abandon(shard, claim)
    for descriptor in (report, inherited):
        os.close(descriptor)


def test_places_are_the_same_near_and_far(server, cache, folder):
    near = ShardReader(open_stream_blend(str(folder)))
    assert places(near) == places(reading(address(server), cache))
    assert near.blend.identity == open_stream_blend(address(server), QUICK).identity
