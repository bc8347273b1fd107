"""What ``visualchat train`` reads from its options."""

import pytest
import typer

from blender.cli.train import _read_size


@pytest.mark.parametrize("text", ["24", "80", "24kB"])
def test_memory_of_a_gpu_without_its_unit_is_refused(text):
    with pytest.raises(typer.BadParameter, match=f"{text} is .* bytes; name a unit, such as 24GB"):
        _read_size(text)


@pytest.mark.parametrize(("text", "size"), [("24GB", 24 * 10**9), ("24GiB", 24 * 2**30)])
def test_memory_of_a_gpu_is_read_with_its_unit(text, size):
    assert _read_size(text) == size
