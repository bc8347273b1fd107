"""Independent functions in several processes."""

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from blender.core.errors import WorkerError
from blender.core.pool import count, kept_processes, let_go, map_unordered, start_ahead
from tests.processes import kill_and_expect_no_worker

_told: list[str] = []


def _who(task: int) -> tuple[int, int]:
    time.sleep(0.05)
    return task, os.getpid()


def _refuse(task: int) -> int:
    if task == 3:
        raise ValueError("task 3 cannot be done")
    return task


def _tell(word: str) -> None:
    _told[:] = [word]


def _said(task: int) -> str:
    return _told[0]


def _die(task: int) -> int:
    """Be killed, in any process but the first one."""
    if multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), task)
    time.sleep(0.05)
    return task


def _note_and_wait(folder: str) -> None:
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)


def _counted(task: int) -> int:
    count(1, task)
    return task


def _others(num_tasks: int) -> set[int]:
    """Return the processes that work beside this one."""
    return {process for _, process in map_unordered(_who, range(num_tasks), 2)} - {os.getpid()}


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_task_is_done_once(workers: int) -> None:
    done = [task for task, _ in map_unordered(_who, range(20), workers)]
    assert sorted(done) == list(range(20))


def test_this_process_works_too_and_is_counted() -> None:
    processes = {process for _, process in map_unordered(_who, range(60), 2)}
    assert os.getpid() in processes
    assert len(processes) == 2


def test_results_come_while_others_still_start() -> None:
    _, process = next(iter(map_unordered(_who, range(1_000), 2)))
    assert process == os.getpid()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_fault_of_any_process_arrives(workers: int) -> None:
    with pytest.raises(ValueError, match="task 3 cannot be done"):
        list(map_unordered(_refuse, range(8), workers))


def test_a_fault_of_the_tasks_arrives() -> None:
    def tasks():
        yield from range(4)
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        list(map_unordered(_refuse, (task for task in tasks() if task != 3), 2))


def test_every_process_is_prepared() -> None:
    assert set(map_unordered(_said, range(40), 3, _tell, ("ready",))) == {"ready"}


def test_giving_up_stops_the_other_processes() -> None:
    begun = time.monotonic()
    for _ in map_unordered(_who, range(100_000), 2):
        break
    assert time.monotonic() - begun < 20


def test_processes_that_are_kept_work_again_until_they_are_let_go() -> None:
    with kept_processes():
        start_ahead(2, "blender.core.pool")
        (first,) = _others(60)
        assert _others(20) == {first}
        let_go()
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)
        (second,) = _others(60)
        assert second != first
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_all_processes_count_is_told(workers: int) -> None:
    told = [0, 0]

    def add(first: int, second: int) -> None:
        told[:] = told[0] + first, told[1] + second

    assert sorted(map_unordered(_counted, range(200), workers, on_count=add)) == list(range(200))
    assert told == [200, sum(range(200))]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, r"killed by signal 9 \(SIGKILL\), probably because memory ran out"),
        (signal.SIGSEGV, r"killed by signal 11 \(SIGSEGV\) \(run"),
    ],
)
def test_a_worker_that_the_system_kills_is_told(number: int, words: str) -> None:
    with pytest.raises(WorkerError, match=words) as caught:
        list(map_unordered(_die, [number] * 1_000, 3))
    assert "what is finished is kept" in (caught.value.hint or "")


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """Only the parent is killed, not its group; its workers are in the middle of a task."""
    code = (
        "from tests.core.test_pool import _note_and_wait\n"
        "from blender.core.pool import map_unordered\n"
        "if __name__ == '__main__':\n"
        f"    list(map_unordered(_note_and_wait, [{str(tmp_path)!r}] * 9, 3))\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    kill_and_expect_no_worker([sys.executable, script], tmp_path, 3, seconds=60)
