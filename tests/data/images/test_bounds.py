"""Files that would cost a reader of headers minutes, or a decoder much memory: they are refused, or read, at once."""

import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib

import pytest
from PIL import Image

from benchmarks import damage
from blender.core.errors import StoreError
from blender.data.images import ImageLimits, open_store, survey_image
from blender.data.images.checking import check_image
from blender.data.images.damage import DamagedImage
from blender.data.images.decoding import measure_image, open_image
from tests.data.images.pictures import picture, write_folder, write_parquet, write_tar, write_zip

SLOW = damage.SLOW
#: what is read in spite of its size, because a picture is behind it
READ = {"PNG, 3 MB of text", "PNG, 3 MB of text, compressed", "JPEG, 20 MB of EXIF in 305 segments"}
#: a tenth of a second, and as much again for a machine that has other things to do
SECONDS = 1.5


@pytest.mark.parametrize("name", SLOW)
def test_slow_pictures_cost_no_time(name):
    content = SLOW[name]()
    for level in ("header", "auto"):
        begun = time.process_time()
        # what is between header and end mark is not looked at under header
        if name in READ or (level == "header" and name == "PNG, a million empty chunks"):
            check_image(content, ImageLimits(), level)
        else:
            with pytest.raises(DamagedImage):
                check_image(content, ImageLimits(), level)
        assert time.process_time() - begun < SECONDS


@pytest.mark.parametrize("name", SLOW)
def test_the_door_to_pillow_refuses_them_or_opens_them_at_once(name):
    content = SLOW[name]()
    for look in (measure_image, open_image):
        begun = time.process_time()
        if name in READ:
            look(content)
        else:
            with pytest.raises(DamagedImage):
                look(content)
        assert time.process_time() - begun < SECONDS


def test_refusals_say_what_is_too_much():
    for name, words in {
        "JPEG, 2 MB of 0xFF before a marker": "belong to no segment",
        "PPM, comment of 2 MB": "header has more than",
        "GIF, 2 million blocks of a byte": "blocks before its first picture",
        "PNG, a million empty chunks": "chunks, each of few bytes",
    }.items():
        with pytest.raises(DamagedImage, match=words):
            open_image(SLOW[name]())


def test_long_texts_and_profiles_do_not_reach_pillow():
    opened = open_image(SLOW["PNG, 3 MB of text, compressed"]())
    assert "Comment" not in opened.info
    opened.load()


def test_orientation_is_kept_where_metadata_are_left_out():
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG"):
        content = picture(kind, exif=exif, icc_profile=zlib.compress(bytes(10)) + bytes(400_000))
        with open_image(content) as opened:
            assert opened.getexif()[0x0112] == 6
            assert "icc_profile" not in opened.info


def progressive_of_many_scans(num_scans: int) -> bytes:
    content = picture(size=(64, 64), progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * num_scans + b"\xff\xd9"


def test_a_jpeg_of_a_thousand_scans_is_refused_before_decoding():
    with pytest.raises(DamagedImage, match="scans"):
        open_image(progressive_of_many_scans(1_000))
    with pytest.raises(DamagedImage, match="scans"):
        check_image(progressive_of_many_scans(1_000), ImageLimits(), "auto")


def tiff_of(entries: list[tuple[int, int, int, int]], rest: bytes = b"") -> bytes:
    block = b"".join(struct.pack("<HHLL", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<LH", 8, len(entries)) + block + struct.pack("<L", 8) + rest


SIZE = [(256, 4, 1, 16), (257, 4, 1, 16)]


@pytest.mark.parametrize(
    "content",
    [
        tiff_of([*SIZE, (273, 4, 400_000_000, 8)]),
        tiff_of([*SIZE, *((700 + number, 4, 200_000, 8) for number in range(1_000))], bytes(800_000)),
        b"II*\0" + struct.pack("<LH", 8, 65_535) + bytes(12 * 65_535),
        b"II*\0" + struct.pack("<L", 4_000_000_000),
        b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 1 << 62),
        tiff_of([(256, 4, 1, 60_000), (257, 4, 1, 60_000)]),
        tiff_of([(257, 4, 1, 16)]),
    ],
    ids=["numbers", "overlapping values", "entries", "no directory", "entries of a big one", "pixels", "no width"],
)
def test_directories_of_tiffs_are_bounded(content):
    begun = time.process_time()
    for look in (open_image, lambda c: check_image(c, ImageLimits(), "header")):
        with pytest.raises(DamagedImage):
            look(content)
    assert time.process_time() - begun < SECONDS


def zip_claiming(size: int, content: bytes, path):
    """A zip whose only member claims another size than it has."""
    write_zip(path, {"x.jpg": content}, zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.index(mark) + offset
        data[at : at + 4] = struct.pack("<L", size)
    path.write_bytes(data)
    return path


def test_a_member_of_a_zip_that_claims_much_is_refused_before_it_is_inflated(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"x.jpg": bytes(20_000_000)}, zipfile.ZIP_DEFLATED)
    with open_store("coco", str(path)) as store:
        member = store.resolve("x.jpg")
        tracemalloc.start()
        info = survey_image(store, member, ImageLimits(max_bytes=10_000_000))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (info.reason, info.num_bytes) == ("too_many_bytes", 20_000_000)
    assert peak < 1_000_000


@pytest.mark.parametrize("claimed", [100, 3_000])
def test_a_member_of_a_zip_that_is_larger_than_it_claims_is_not_inflated_beyond(tmp_path, claimed):
    path = zip_claiming(claimed, picture()[:2_000] + bytes(10_000_000), tmp_path / "x.zip")
    with open_store("coco", str(path)) as store:
        member = store.resolve("x.jpg")
        tracemalloc.start()
        assert survey_image(store, member, ImageLimits()).reason == "unreadable"
        with pytest.raises(StoreError, match="does not decompress to the"):
            store.read(member)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2_000_000


def test_a_member_of_a_zip_that_is_smaller_than_it_claims_is_unreadable(tmp_path):
    path = zip_claiming(90_000_000, picture(), tmp_path / "x.zip")
    with open_store("coco", str(path)) as store:
        assert survey_image(store, store.resolve("x.jpg"), ImageLimits()).reason == "unreadable"


def test_only_the_beginning_of_a_deflated_member_is_inflated_for_its_head(tmp_path):
    content = picture()
    path = write_zip(tmp_path / "x.zip", {"x.jpg": content + bytes(10_000_000)}, zipfile.ZIP_DEFLATED)
    with open_store("coco", str(path)) as store, store.open(store.resolve("x.jpg")) as file:
        tracemalloc.start()
        assert file.read_at(0, 1_000) == content[:1_000]
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
        tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_wrong_checksum_in_a_zip_is_seen_while_planning(tmp_path, method):
    path = write_zip(tmp_path / "x.zip", {"x.jpg": picture()}, method)
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 14), (b"PK\x01\x02", 16)):
        data[data.index(mark) + offset] ^= 1
    path.write_bytes(data)
    with open_store("coco", str(path)) as store:
        info = survey_image(store, store.resolve("x.jpg"), ImageLimits())
    assert info.reason == "unreadable"
    assert "checksum" in info.detail


def test_a_member_of_a_tar_that_claims_more_than_there_is_cannot_be_listed(tmp_path):
    entry = tarfile.TarInfo("x.jpg")
    entry.size = 8_000_000_000
    (tmp_path / "x.tar").write_bytes(entry.tobuf() + picture().ljust(4096, b"\0"))
    with open_store("coco", str(tmp_path / "x.tar")) as store, pytest.raises(StoreError, match="cut short"):
        store.resolve("x.jpg")


def test_a_large_member_of_a_tar_is_refused_by_its_size(tmp_path):
    path = write_tar(tmp_path / "x.tar", {"x.jpg": picture() + bytes(20_000)})
    with open_store("coco", str(path)) as store:
        info = survey_image(store, store.resolve("x.jpg"), ImageLimits(max_bytes=10_000))
    assert info.reason == "too_many_bytes"


def test_a_cell_of_a_table_is_not_copied_to_see_its_size(tmp_path):
    path = write_parquet(tmp_path / "x.parquet", {"x.jpg": bytes(20_000_000)})
    with open_store("coco", str(path)) as store:
        member = store.resolve("x.jpg")
        tracemalloc.start()
        assert survey_image(store, member, ImageLimits(max_bytes=10_000_000)).reason == "too_many_bytes"
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
        tracemalloc.stop()


def test_a_picture_as_large_as_allowed_is_read_once(tmp_path):
    content = picture(size=(400, 300))
    store = open_store("coco", str(write_folder(tmp_path, {"x.jpg": content})))
    assert survey_image(store, "x.jpg", ImageLimits(max_bytes=len(content))).reason is None
    assert survey_image(store, "x.jpg", ImageLimits(max_bytes=len(content) - 1)).reason == "too_many_bytes"
