import pytest

from tests import corpora


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A small corpus that no test changes."""
    return corpora.write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def own_corpus(tmp_path):
    """A small corpus for a test to damage."""
    return corpora.write_corpus(tmp_path / "corpus")
