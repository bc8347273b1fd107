"""When two image files are the same image: when their bytes are equal, whatever they are called and wherever they are.

Comparing all images would read every byte. So the survey takes a *sketch* of each file, a hash of its first and last
bytes, which are read anyway. Only files of equal size and sketch are then read whole and compared by their *content
hash*. Writers of shards read every image and note its content hash, so that the decisions of the plan can be checked.
"""

from hashlib import blake2b

import xxhash

#: bytes of a content hash
HASH_BYTES = 16


def sketch(head: bytes, tail: bytes, num_bytes: int) -> int:
    """Hash some of a file's bytes: equal files have equal sketches, and few others do.

    Args:
        head: Its first bytes, as many for every file of its size.
        tail: Its last bytes, likewise.
        num_bytes: Its size.
    """
    hashed = blake2b(num_bytes.to_bytes(8, "little"), digest_size=8)
    hashed.update(head)
    hashed.update(tail)
    return int.from_bytes(hashed.digest(), "little")


def content_hash(content: bytes) -> bytes:
    """Hash a whole file; 128 bits, so that two different files are never taken for one by chance."""
    return xxhash.xxh3_128_digest(content)
