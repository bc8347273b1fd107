import pytest

from tests.inspect.lint.blends import Made


@pytest.fixture
def made(tmp_path):
    return Made(tmp_path)
