"""Real little pictures, and the stores that hold them."""

import base64
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.random import default_rng
from PIL import Image


def picture(kind: str = "JPEG", size: tuple[int, int] = (48, 32), mode: str = "RGB", seed: int = 0, **options) -> bytes:
    """Draw noise, because flat pictures compress to files too small to be cut."""
    channels = {"L": 1, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode]
    noise = default_rng(seed).bytes(size[0] * size[1] * channels)
    buffer = io.BytesIO()
    Image.frombytes(mode, size, noise).save(buffer, kind, **options)
    return buffer.getvalue()


def write_folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def write_zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def write_parquet(path: Path, files: dict[str, bytes], rows_per_group: int = 2) -> Path:
    table = pa.table({"file_name": pa.array(files, pa.string()), "image": pa.array(files.values(), pa.binary())})
    pq.write_table(table, path, row_group_size=rows_per_group)
    return path


def write_json(path: Path, files: dict[str, bytes]) -> Path:
    path.write_text(json.dumps({name: base64.b64encode(data).decode() for name, data in files.items()}))
    return path


#: kind of store → what writes one, given a path without extension
WRITERS = {
    "folder": lambda path, files: write_folder(path, files),
    "zip": lambda path, files: write_zip(path.with_suffix(".zip"), files),
    "deflated": lambda path, files: write_zip(path.with_suffix(".zip"), files, zipfile.ZIP_DEFLATED),
    "tar": lambda path, files: write_tar(path.with_suffix(".tar"), files),
    "parquet": lambda path, files: write_parquet(path.with_suffix(".parquet"), files),
    "json": lambda path, files: write_json(path.with_suffix(".json"), files),
}
