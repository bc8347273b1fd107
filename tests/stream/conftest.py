import shutil

import pytest


@pytest.fixture(scope="session")
def streamed(written, tmp_path_factory):
    """The folder of a blend beside whose index a stream may leave lengths, for all tests of streams."""
    return shutil.copytree(written, tmp_path_factory.mktemp("streamed") / "blend")
