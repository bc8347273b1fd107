"""Programs that are killed, and the processes that they started."""

import os
import signal
import subprocess
import time
from contextlib import suppress

from benchmarks.measure import is_alive


def kill_and_expect_no_worker(command, folder, num_processes, seconds):
    """Start a program, kill it when so many processes have put a file with their number in a folder; all must end.

    They have so many seconds to start.
    """
    parent = subprocess.Popen([*map(str, command)], start_new_session=True)
    try:
        until = time.monotonic() + seconds
        while len(processes := [int(path.name) for path in folder.iterdir() if path.name.isdigit()]) < num_processes:
            assert parent.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        parent.kill()
        parent.wait()
        until = time.monotonic() + 20
        while any(map(is_alive, processes)):
            assert time.monotonic() < until, "a worker outlived its parent"
            time.sleep(0.05)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)
