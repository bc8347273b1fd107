"""Names of images: which are safe to look up, and how the same image may be spelled.

Annotations come from strangers, so a name is checked before it is looked up (:func:`fault_of_name`). And they come from
several publishers, so one photograph has several names: LLaVA says ``000000442786.jpg`` where COCO's archive has
``train2017/000000442786.jpg``, Sparkles gives an id without extension, MIMIC-IT writes COCO photograph 426538 as
``CGD_IMG_000000426538`` or, in other copies, with 16 digits. :class:`NameIndex` finds a member under any of these, and
under a name that looks the same (composed or decomposed letters, blanks around it). It prefers a missing image to a
wrong one: a name that fits two members fits none, and other capitals are another name.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

#: extension of a name in lower case → the format it belongs to, as Pillow calls it
KNOWN_EXTENSIONS = {
    "jpg": "JPEG",
    "jpeg": "JPEG",
    "jpe": "JPEG",
    "jfif": "JPEG",
    "mpo": "JPEG",
    "png": "PNG",
    "webp": "WEBP",
    "gif": "GIF",
    "bmp": "BMP",
    "tif": "TIFF",
    "tiff": "TIFF",
    "pbm": "PPM",
    "pgm": "PPM",
    "ppm": "PPM",
    "pnm": "PPM",
}

_SUSPICIOUS = re.compile(r"[\\\0]|^/|^[A-Za-z]:|(?:^|/)\.\.(?:/|$)")
_ROUNDABOUT = re.compile(r"//|(?:^|/)\./")
#: longer texts are hardly names, and are not shown whole
_LONGEST = 300
#: base64 text of the smallest pictures
_SHORTEST_PICTURE = 60
_BASE64 = re.compile(r"[A-Za-z0-9+/=_\s-]+")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_COCO_STEM = re.compile(r"(?:CGD_IMG_)?(0{4}\d{12}|\d{12})")


def fault_of_name(name: str) -> str | None:
    """Return why a name may not be looked up in any store; None for a harmless one.

    The answer continues a sentence that begins with the name, such as "is an absolute path".
    """
    if not _SUSPICIOUS.search(name):
        return None
    if "\0" in name:
        return "contains a NUL character"
    if "\\" in name:
        return "contains a backslash"
    if name.startswith("/"):
        return "is an absolute path"
    if ".." in name.split("/"):
        return "climbs out of the store with '..'"
    return "begins with a drive letter"


def fault_as_name(name: str) -> str | None:
    """Return what a text is that cannot be the name of an image in a store; None if it may be one.

    The answer continues a sentence that begins with the name, as :func:`shown_name` writes it.
    """
    begins_as_picture = name.startswith(("/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR")) and len(name) > _SHORTEST_PICTURE
    is_long = begins_as_picture or len(name) > _LONGEST
    if name.startswith("data:") or is_long and _BASE64.fullmatch(name[:_LONGEST]):
        return "is a picture itself as base64 text, and no name; put such pictures into a store of their own"
    if _URL.match(name):
        return "is a URL; images are looked up in their store alone, so download it into one and name it as it is there"
    return None


def shown_name(name: str) -> str:
    """Shorten a very long name for a message."""
    return name if len(name) <= _LONGEST else f"{name[:40]}… ({len(name):,} characters)"


def plain_path(name: str) -> str:
    """Drop empty and ``.`` components: ``./a//b.jpg`` is ``a/b.jpg``."""
    if not _ROUNDABOUT.search(name):
        return name
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def normalized(name: str) -> str:
    """Return a form of a name that is equal for names that look the same: letters composed, no blanks around."""
    return name.strip() if name.isascii() else unicodedata.normalize("NFC", name).strip()


def extension_of(name: str) -> str | None:
    """Give the extension in lower case when it is one of an image; None for an id or a foreign extension."""
    _, dot, extension = name.rpartition(".")
    extension = extension.lower()
    return extension if dot and extension in KNOWN_EXTENSIONS else None


def stem_of(name: str) -> str:
    """Drop the extension of an image, and nothing else that follows a dot."""
    return name.rpartition(".")[0] if extension_of(name) else name


def spellings(base: str) -> Iterator[str]:
    """Give the names, without folders, under which publishers may keep the image called ``base``; itself first."""
    yield base
    found = _COCO_STEM.fullmatch(stem_of(base))
    if not found:
        return
    digits = found[1][-12:]
    extension = extension_of(base) or "jpg"
    yield f"{digits}.{extension}"
    yield f"CGD_IMG_{digits}"
    yield f"CGD_IMG_0000{digits}"
    yield f"0000{digits}"


@dataclass(frozen=True)
class NameIndex:
    """The names in a store, or in one of its folders, and the member of each."""

    #: path inside the store → member; several paths may stand for one member
    members: Mapping[str, str]

    def find(self, name: str) -> str | None:
        """Return the member for a safe name; None if there is none or more than one."""
        exact = self.members.get(name)
        if exact is not None:
            return exact
        found = self._find_spelled(name)
        if found is None and (look := normalized(name)) != name:
            found = self.members.get(look) or self._find_spelled(look)
        return found if found is not None else self._find_alike(name)

    def _find_spelled(self, name: str) -> str | None:
        folder, _, base = name.rpartition("/")
        for spelling in spellings(base):
            for candidates in self._candidates(spelling):
                fitting = {self.members[path] for path in candidates if _folders_agree(folder, path)}
                if fitting:
                    return fitting.pop() if len(fitting) == 1 else None
        return None

    def _find_alike(self, name: str) -> str | None:
        folder, _, base = normalized(name).rpartition("/")
        paths = self._by_normalized.get(normalized(base))
        fitting = {self.members[path] for path in paths if _folders_agree(folder, normalized(path))}
        return fitting.pop() if len(fitting) == 1 else None

    def _candidates(self, base: str) -> Iterator[Iterable[str]]:
        yield self._by_base.get(base)
        stem = stem_of(base)
        yield self._by_base.get(stem) if stem != base else self._by_stem.get(base)

    @cached_property
    def _by_base(self) -> "_PathsByKey":
        return _PathsByKey.of((path.rpartition("/")[2], path) for path in self.members)

    @cached_property
    def _by_normalized(self) -> "_PathsByKey":
        return _PathsByKey.of((normalized(path.rpartition("/")[2]), path) for path in self.members)

    @cached_property
    def _by_stem(self) -> "_PathsByKey":
        bases = ((path.rpartition("/")[2], path) for path in self.members)
        return _PathsByKey.of((stem_of(base), path) for base, path in bases if extension_of(base))


@dataclass(frozen=True)
class _PathsByKey:
    """Paths by key. Nearly every key has one path, so only the others pay for a list."""

    first: dict[str, str] = field(default_factory=dict)
    further: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> "_PathsByKey":
        groups = cls()
        for key, path in pairs:
            if groups.first.setdefault(key, path) is not path:
                groups.further.setdefault(key, []).append(path)
        return groups

    def get(self, key: str) -> list[str]:
        path = self.first.get(key)
        return [] if path is None else [path, *self.further.get(key, ())]


def _folders_agree(folder: str, path: str) -> bool:
    """Tell whether the folders of a name and of a member agree: one path ends with the other."""
    other = path.rpartition("/")[0]
    if not folder or not other or folder == other:
        return True
    return folder.endswith(f"/{other}") or other.endswith(f"/{folder}")
