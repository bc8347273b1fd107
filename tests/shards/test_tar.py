import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from blender.shards import tar

names = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=90)


@given(st.lists(st.tuples(names, st.binary(max_size=2000)), max_size=5))
def test_tarfile_reads_what_is_written(members):
    raw = b"".join(tar.header(name, len(data)) + data + tar.padding(len(data)) for name, data in members) + tar.END
    with tarfile.open(fileobj=io.BytesIO(raw)) as opened:
        assert [(member.name, opened.extractfile(member).read()) for member in opened] == members


def test_a_header_is_what_tarfile_itself_would_write():
    info = tarfile.TarInfo("train-000000001.image1.jpg")
    info.size, info.mode = 123_456, 0o644
    assert tar.header(info.name, info.size) == info.tobuf(tarfile.USTAR_FORMAT)
