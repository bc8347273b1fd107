"""Processes of tests."""

from pathlib import Path


def is_alive(process: int) -> bool:
    """Tell whether a process is at work; one that has ended and that nobody has waited for is not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
