"""The one error of everything that looks into a picture's bytes."""

from typing import Literal

#: how closely pictures are looked at before a blend takes them; ``docs/images.md`` says what each finds
Check = Literal["header", "auto", "decode"]


class DamagedImage(OSError):
    """A picture that cannot be used.

    It is an ``OSError``, as Pillow's errors about damaged files are.

    Args:
        reason: A word for counting, such as ``truncated``; :class:`blender.data.images.survey.ImageInfo` lists them.
        why: The rest of a sentence that begins with the picture's name and "cannot be used: ".
    """

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason = reason
        self.why = why

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes with both parts."""
        return type(self), (self.reason, self.why)


def truncated(where: str) -> DamagedImage:
    """Return the error of a picture whose file ends too early."""
    return DamagedImage("truncated", f"the file ends inside of {where}")
