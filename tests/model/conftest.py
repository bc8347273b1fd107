"""Models that tests share; whoever changes weights makes one of its own."""

import pytest

from tests.model.parts import shared


@pytest.fixture(scope="session")
def models():
    """A joined model for each attention."""
    return {attention: shared(attention) for attention in ("mmca", "causal", "cross")}
