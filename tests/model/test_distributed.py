"""Ranks whose batches differ in kind wait for each other's collectives, and for no more."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_text_alone_images_and_padding_train_together_under_zero_3(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}"]
    environment = {**os.environ, "DS_ACCELERATOR": "cpu", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    # one rank that calls a collective more than the other would hang, until this time is over
    subprocess.run(
        [*command, "-m", "tests.model.train_together", str(tmp_path)],
        env=environment, cwd=ROOT, check=True, timeout=240, capture_output=True,
    )  # fmt: skip
    for rank in (0, 1):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        for attention in ("mmca", "cross"):
            whole, in_pieces = found[f"{attention} 0"], found[f"{attention} 3"]
            assert in_pieces == pytest.approx(whole, rel=1e-4)
            assert whole[(2 - rank) % 4] == 0
