"""Tiny models that several files of tests share."""

import pytest
import torch

from blender.serve.loading import open_model
from tests.serve.tiny_models import save_model

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A tiny model."""
    return open_model(save_model(tmp_path_factory.mktemp("model")), device="cpu")


@pytest.fixture(scope="session")
def talkative(tmp_path_factory):
    """A tiny model whose answers are long, as it never gives an end token."""
    model = open_model(save_model(tmp_path_factory.mktemp("served"), positions=2048), name="tiny", device="cpu")
    with torch.no_grad():
        model.model.get_output_embeddings().weight[model.end_ids] = 0
    return model
