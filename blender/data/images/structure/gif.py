"""The blocks of a GIF up to its first picture, which is the one that is used."""

from blender.data.images.damage import DamagedImage, truncated
from blender.data.images.files import ByteFile, MemoryFile

#: blocks before the first picture, each of 255 bytes at most: comments, mostly
_MAX_BLOCKS = 20_000
_WINDOW = 64 * 1024


def read_size(file: ByteFile) -> tuple[int, int]:
    """Read the size of the screen, or of the first picture where that is larger, as Pillow does."""
    head = file.read_at(0, 13)
    if len(head) < 13:
        raise truncated("its header")
    width, height = _number(head, 6), _number(head, 8)
    walk = _GifWalk(file, 13 + _palette_bytes(head[10]))
    while (mark := walk.take(1)) != b",":
        if mark == b"!":
            walk.take(1)
            walk.skip_blocks()
        elif mark == b";":
            raise DamagedImage("damaged", "it ends before its first picture")
        else:
            walk.count()
    frame = walk.take(8)
    return (
        max(width, _number(frame, 0) + _number(frame, 4)),
        max(height, _number(frame, 2) + _number(frame, 6)),
    )


def vet(content: bytes) -> bytes:
    """Bound the blocks before the first picture."""
    read_size(MemoryFile(content))
    return content


class _GifWalk:
    """A walk over the blocks of a file, read a window at a time."""

    def __init__(self, file: ByteFile, position: int) -> None:
        self._file = file
        self._window, self._start, self._at = b"", position, 0
        self._num_blocks = 0

    def take(self, num_bytes: int) -> bytes:
        """Take the next bytes."""
        if self._at + num_bytes > len(self._window):
            self._start += self._at
            self._window, self._at = self._file.read_at(self._start, _WINDOW), 0
        taken = self._window[self._at : self._at + num_bytes]
        if len(taken) < num_bytes:
            raise truncated("what comes before its first picture")
        self._at += num_bytes
        return taken

    def skip_blocks(self) -> None:
        """Skip blocks up to an empty one."""
        while length := self.take(1)[0]:
            self.take(length)
            self.count()

    def count(self) -> None:
        """Count a block."""
        self._num_blocks += 1
        if self._num_blocks > _MAX_BLOCKS:
            raise DamagedImage("unreadable", f"it has more than {_MAX_BLOCKS:,} blocks before its first picture")


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 128 else 0


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")
