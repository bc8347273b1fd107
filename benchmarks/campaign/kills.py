"""Kill -9 of blends: the whole group, one worker, or the planner alone; then the same command goes on.

After each kill every shard under its own name is the shard of an undisturbed run, and a folder with a manifest is
whole. Workers end when the planner is gone. A command that loses a worker says so in a sentence. Whenever a blend gets
finished, its files are those of the undisturbed run, byte by byte.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from benchmarks.campaign.corpus import PROGRAM, ROOT, complaint, digests, run, write_recipe
from benchmarks.campaign.outcome import CheckFailed, Outcome, expect, repeat
from benchmarks.measure import family, is_alive

_VICTIMS = ("group", "worker", "planner")
#: within this time workers must have noticed that the planner is gone
_END_SECONDS = 15.0


class Kills:
    """One corpus, its undisturbed blend, and a folder that is written again and again under kills."""

    def __init__(self, folder: Path) -> None:
        self.recipe = write_recipe(folder / "corpus")
        self.out = folder / "out"
        begin = time.monotonic()
        finished = run("blend", self.recipe, "--out", folder / "whole", "--workers", 2)
        expect(finished.returncode == 0, f"the undisturbed blend fails: {finished.stderr}")
        self.seconds = time.monotonic() - begin
        self.whole = digests(folder / "whole")

    def attempt(self, random: np.random.Generator) -> str:
        """Start the blend, kill something at a random moment, and look at what is left."""
        victim = _VICTIMS[random.integers(len(_VICTIMS))]
        process = self._start()
        with suppress(subprocess.TimeoutExpired):
            process.wait(random.uniform(0.02, self.seconds))
        ending = self._kill(process, victim, random)
        finished = (self.out / "manifest.json").exists()
        try:
            self._check()
        except CheckFailed:
            # the next try starts afresh
            shutil.rmtree(self.out)
            raise
        if finished:
            shutil.rmtree(self.out)
            return f"{ending}, blend finished"
        return ending

    def finish(self) -> None:
        """Let the blend end undisturbed and compare it whole."""
        finished = run("blend", self.recipe, "--out", self.out, "--workers", 2)
        expect(finished.returncode == 0, f"after the kills the blend fails: {finished.stderr.strip()[-500:]}")
        expect(digests(self.out) == self.whole, "after the kills the blend has other bytes")

    def _start(self) -> "subprocess.Popen[str]":
        command = [*PROGRAM, "blend", str(self.recipe), "--out", str(self.out), "--workers", "2"]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(
            command, stdout=quiet, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
        )

    def _kill(self, process: "subprocess.Popen[str]", victim: str, random: np.random.Generator) -> str:
        members = list(filter(_is_ours, family(process.pid))) if process.poll() is None else []
        if not members:
            process.communicate()
            return "ended before the kill"
        if victim == "worker" and len(members) > 1:
            return self._kill_worker(process, members[1 + random.integers(len(members) - 1)])
        if victim == "planner":
            process.kill()
            process.communicate()
            self._expect_end(members[1:])
            return "planner killed"
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return "group killed"

    def _kill_worker(self, process: "subprocess.Popen[str]", worker: int) -> str:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
        try:
            _, stderr = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            expect(False, "the program hangs after one of its workers was killed")
        traceback = complaint(stderr)
        expect(not traceback, f"a killed worker gives a traceback: {traceback}")
        expect(process.returncode in (0, 1), f"a killed worker gives exit code {process.returncode}")
        return "worker killed"

    def _expect_end(self, members: list[int]) -> None:
        deadline = time.monotonic() + _END_SECONDS
        while alive := [member for member in members if is_alive(member)]:
            if time.monotonic() > deadline:
                for member in alive:
                    os.kill(member, signal.SIGKILL)
                expect(False, f"{len(alive)} workers outlive the killed planner")
            time.sleep(0.02)

    def _check(self) -> None:
        if not self.out.exists():
            return
        left = digests(self.out)
        if "manifest.json" in left:
            others = sorted(path for path, _ in left.items() ^ self.whole.items())
            expect(not others, f"a folder with a manifest is not the whole blend; others are {', '.join(others)}")
        for path, digest in left.items():
            if path.endswith(".tar"):
                expect(digest == self.whole.get(path), f"{path} is not the whole shard")


def _is_ours(process: int) -> bool:
    """Tell a process of the program from the one that Python itself starts to clear semaphores away."""
    with suppress(OSError):
        return b"resource_tracker" not in Path(f"/proc/{process}/cmdline").read_bytes()
    return False


def kill_blends(numbers: Iterable[int], seed: int) -> Outcome:
    """Kill blends; the last one goes on to its end."""
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        kills = Kills(Path(folder))
        outcome = repeat("kills", kills.attempt, numbers, seed)
        outcome.add(repeat("kills", lambda _: kills.finish() or "finished after the last kill", [-1], seed))
    return outcome
