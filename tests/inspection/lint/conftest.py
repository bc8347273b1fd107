import pytest

from tests.inspection.lint.blends import Made


@pytest.fixture
def made(tmp_path):
    return Made(tmp_path)
