import pytest
from hypothesis import HealthCheck, settings

from tests import corpora

# machines are shared and noisy: how long an example takes says nothing about the code
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A small corpus that no test changes."""
    return corpora.write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def own_corpus(tmp_path):
    """A small corpus for a test to damage."""
    return corpora.write_corpus(tmp_path / "corpus")
