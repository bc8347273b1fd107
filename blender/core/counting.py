"""Counts in sentences: "1 image", "2,000 images"."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun, in the singular for 1.

    Args:
        number: The number.
        noun: In the singular.
        plural: Where it is not the singular with an ``s``.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
