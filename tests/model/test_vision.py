"""Vision towers are tried on the meta device before a weight is loaded; what they are not made for is one sentence."""

import pytest
import torch
from transformers import (
    AutoModel,
    CLIPVisionConfig,
    ConvNextConfig,
    DeiTConfig,
    DINOv3ViTConfig,
    Idefics3VisionConfig,
    InternVLVisionConfig,
    PixtralVisionConfig,
    Qwen2VLConfig,
    SamVisionConfig,
    Siglip2VisionConfig,
    SwinConfig,
    ViTConfig,
    ViTMAEConfig,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from blender.core.errors import ModelError
from blender.model import VisualChatModel, read_config
from blender.model.vision import check_tower
from tests.model.parts import language_model, trained_batch

_SMALL = {
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}
_MAPS = {"depths": [1, 1, 1, 1], "image_size": 64}
REFUSED = {
    "Qwen2VLVision": Qwen2VLConfig(vision_config={"depth": 2}).vision_config,
    "Siglip2Vision": Siglip2VisionConfig(
        hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    ),
    "SamVision": SamVisionConfig(**_SMALL, global_attn_indexes=[1]),
    "ConvNext": ConvNextConfig(hidden_sizes=[8, 16, 24, 32], **_MAPS),
    "Swin": SwinConfig(embed_dim=8, num_heads=[1, 1, 1, 1], window_size=2, **_MAPS),
    "ViTMAE": ViTMAEConfig(**_SMALL),
    "PixtralVision": PixtralVisionConfig(**_SMALL),
}
ACCEPTED = {
    "vit": ViTConfig(**_SMALL),
    "deit": DeiTConfig(**_SMALL),
    "dinov3": DINOv3ViTConfig(**_SMALL, num_register_tokens=2),
    "internvl": InternVLVisionConfig(**{**_SMALL, "image_size": [16, 16], "patch_size": [8, 8]}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_towers_of_another_kind_are_refused_by_name_with_what_is_expected(name):
    sentence = f"{name} cannot be a vision tower here: .*use a vision tower that cuts images into square patches"
    with pytest.raises(ModelError, match=sentence):
        check_tower(REFUSED[name])


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (Idefics3VisionConfig(**_SMALL), "it looks at numbers while it runs"),
        (CLIPVisionConfig(**_SMALL, num_channels=1), "it cannot be run on images of 16 pixels alone"),
        (CLIPVisionConfig(**{**_SMALL, "num_hidden_layers": 0}), "it cannot be run on images of 16 pixels alone"),
        (CLIPVisionConfig(**{**_SMALL, "patch_size": 0}), "it cannot be run on images of 16 pixels alone"),
    ],
)
def test_towers_that_cannot_be_tried_are_refused_in_words_that_are_not_pytorch_s(config, sentence):
    with pytest.raises(ModelError, match=f"cannot be a vision tower here: {sentence}"):
        check_tower(config)


@pytest.mark.parametrize("name", REFUSED)
def test_a_folder_of_such_a_tower_is_refused_before_its_image_processor_is_read(tmp_path, name):
    REFUSED[name].save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=f"{name} cannot be a vision tower here"):
        read_config(language_model(), tmp_path)


def test_a_folder_of_a_whole_qwen2_vl_is_no_tower_of_fifty_thousand_positions(tmp_path):
    Qwen2VLConfig(vision_config={"depth": 2}).save_pretrained(tmp_path)
    Qwen2VLImageProcessorPil().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="Qwen2VLVision cannot be a vision tower here"):
        read_config(language_model(), tmp_path)


@pytest.mark.parametrize("name", ACCEPTED)
def test_towers_of_patches_are_taken_and_train(name):
    torch.manual_seed(0)
    model = VisualChatModel.from_parts(language_model(), AutoModel.from_config(ACCEPTED[name]).eval())
    assert model.config.image_positions == 4
    assert torch.isfinite(model(**trained_batch("tIa")).loss)


def test_a_class_token_that_a_tower_has_in_another_number_cannot_be_kept():
    with pytest.raises(ModelError, match="DeiT cannot be a vision tower here: .* 5 features for each image"):
        check_tower(ACCEPTED["deit"], keep_class_token=True)
    check_tower(ACCEPTED["dinov3"], keep_class_token=True)


def test_the_check_makes_no_weights():
    # six billion of them
    check_tower(ViTConfig(hidden_size=3200, intermediate_size=12800, num_hidden_layers=45, num_attention_heads=25))
