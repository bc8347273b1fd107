"""Texts of strangers, cut to what fits into a sentence."""

_LENGTH = 80


def excerpt(text: str, around: int = 0, length: int = _LENGTH) -> str:
    """Quote a piece of a text on one line.

    Args:
        text: The text.
        around: A place in it that must be seen.
        length: Characters shown at most.
    """
    start = max(0, min(around - length // 3, len(text) - length))
    shown = " ".join(text[start : start + length].split())
    before, after = "…" if start else "", "…" if start + length < len(text) else ""
    return f"“{before}{shown}{after}”"
