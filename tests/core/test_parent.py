"""What a process started ends with it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from benchmarks.measure import is_alive
from blender.core.parent import run_with_parent

#: writes its number down, and a line when it is asked to end
PROGRAM = """
import os, pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
def end(number, frame):
    (folder / "asked").write_text(str(number))
    sys.exit(3)
signal.signal(signal.SIGTERM, end)
(folder / "aside").write_text(str(os.getpid()))
(folder / "aside").rename(folder / "number")
time.sleep(60)
"""
PARENT = "import sys; from blender.core.parent import run_with_parent; sys.exit(run_with_parent(sys.argv[1:]))"


def wait_for(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_program_is_asked_to_end_when_its_parent_has(tmp_path, how):
    command = [sys.executable, "-c", PARENT, sys.executable, "-c", PROGRAM, str(tmp_path)]
    parent = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    wait_for((tmp_path / "number").exists)
    program = int((tmp_path / "number").read_text())
    parent.send_signal(how)
    parent.wait(20)
    wait_for(lambda: not is_alive(program))
    assert (tmp_path / "asked").read_text() == str(int(signal.SIGTERM))


@pytest.mark.parametrize(("code", "seen"), [("0", 0), ("7", 7), ("'x'", 1)])
def test_the_exit_code_is_the_programs(code, seen):
    assert run_with_parent([sys.executable, "-c", f"import sys; sys.stderr = None; sys.exit({code})"]) == seen


def test_a_program_that_a_signal_ended_has_the_code_that_a_shell_gives_it():
    kill = f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"
    assert run_with_parent([sys.executable, "-c", kill]) == 128 + signal.SIGKILL


def test_a_program_gets_our_environment_and_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("OF_OURS", "1")
    write = f"import os; open({str(tmp_path / 'x')!r}, 'w').write(os.environ['OF_OURS'] + os.getcwd())"
    assert run_with_parent([sys.executable, "-c", write]) == 0
    assert (tmp_path / "x").read_text() == f"1{os.getcwd()}"  # noqa: PTH109
