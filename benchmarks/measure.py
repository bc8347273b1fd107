"""Run a command and measure what it takes, its child processes included.

Processor time is told beside the clock's: on a machine with other work the clock says little, processor time a lot.
"""

import os
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep

_PERIOD = 0.02
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Measured:
    """What a command took."""

    #: by the clock
    seconds: float
    #: of processor time, user and system, all processes
    processor_seconds: float
    #: most resident bytes of all processes at one time; pages that they share count for each
    peak_bytes: int
    #: most resident bytes of a single process
    peak_bytes_of_one: int
    #: standard output
    output: str


def measure(command: Sequence[str | Path], folder: Path | None = None) -> Measured:
    """Run a command to its end.

    Args:
        command: Program and arguments.
        folder: Where to run it.

    Raises:
        RuntimeError: It failed.
    """
    begin = perf_counter()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        watch = _Watch(process.pid)
        complaints: list[str] = []
        assert process.stdout and process.stderr
        reader = threading.Thread(target=lambda: complaints.append(process.stderr.read() if process.stderr else ""))
        reader.start()
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        reader.join()
    watch.stop()
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{complaints[0][-2_000:]}")
    return Measured(seconds, usage.ru_utime + usage.ru_stime, watch.peak, watch.peak_of_one, output)


class _Watch:
    """Watches the memory of a process and its descendants, until told to stop."""

    def __init__(self, process: int) -> None:
        self.peak = self.peak_of_one = 0
        self._process = process
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stopped = True
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped:
            sizes = [_resident(process) for process in family(self._process)]
            self.peak = max(self.peak, sum(sizes))
            self.peak_of_one = max(self.peak_of_one, *sizes, 0)
            sleep(_PERIOD)


def family(process: int) -> list[int]:
    """Return a process and all that descend from it."""
    family = [process]
    for member in family:
        with suppress(OSError):
            for task in Path(f"/proc/{member}/task").iterdir():
                family += map(int, (task / "children").read_text().split())
    return family


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def is_alive(process: int) -> bool:
    """Tell whether a process runs; one that has ended and that nobody has waited for does not."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    return False
