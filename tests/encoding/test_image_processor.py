"""An image processor is taken for what it does, not for what its settings look like."""

import pytest
from PIL import Image
from transformers import CLIPImageProcessorPil
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
from transformers.models.efficientnet.image_processing_pil_efficientnet import EfficientNetImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.mobilevit.image_processing_pil_mobilevit import MobileViTImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

from blender.core.errors import ModelError, StreamError
from blender.encoding.image_processor import checked_pixel_spec
from blender.model import read_config
from blender.stream.models import load_pixels
from tests.model.parts import language_model, vision_tower

_SQUARE = {"height": 32, "width": 32}
CLIP = {"size": {"shortest_edge": 32}, "crop_size": _SQUARE}
TAKEN = {
    "clip": CLIPImageProcessorPil(**CLIP),
    "siglip": SiglipImageProcessorPil(size=_SQUARE),
    "without tiles": GotOcr2ImageProcessorPil(size=_SQUARE, crop_to_patches=False),
}
REFUSED = {
    "LLaVA-NeXT": LlavaNextImageProcessorPil(**CLIP, image_grid_pinpoints=[[32, 64], [64, 32]]),
    "InternVL": GotOcr2ImageProcessorPil(size=_SQUARE, crop_to_patches=True, max_patches=4),
    "Idefics3": Idefics3ImageProcessorPil(),
    "Qwen2-VL": Qwen2VLImageProcessorPil(),
    "SigLIP2 NaFlex": Siglip2ImageProcessorPil(),
    "ConvNeXt": ConvNextImageProcessorPil(),
    "MobileViT": MobileViTImageProcessorPil(size={"shortest_edge": 40}, crop_size=_SQUARE),
    "EfficientNet": EfficientNetImageProcessorPil(size=_SQUARE, rescale_offset=True),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_resizes_crops_and_normalises_is_taken(name):
    assert checked_pixel_spec(TAKEN[name]).shape == (3, 32, 32)


@pytest.mark.parametrize("name", REFUSED)
def test_tiles_paddings_and_flips_are_refused_by_name(name):
    kind = type(REFUSED[name]).__name__.removesuffix("Pil")
    with pytest.raises(StreamError, match=f"{kind} .*use a vision tower whose images are resized, centre-cropped"):
        checked_pixel_spec(REFUSED[name])


class Turned(CLIPImageProcessorPil):
    """Has the settings of any other, and turns pictures upside down."""

    def preprocess(self, images, **options):
        return super().preprocess([image.transpose(Image.Transpose.ROTATE_180) for image in images], **options)


class Tiled(CLIPImageProcessorPil):
    """Has the settings of any other, and cuts two tiles."""

    def preprocess(self, images, **options):
        return super().preprocess([*images, *images], **options)


def test_a_processor_of_plain_settings_that_does_something_else_is_seen():
    with pytest.raises(StreamError, match="Turned makes other pixels than its settings say"):
        checked_pixel_spec(Turned(**CLIP))
    with pytest.raises(StreamError, match="Tiled makes 2 x 3 x 32 x 32 numbers of one picture"):
        checked_pixel_spec(Tiled(**CLIP))


def test_a_stream_and_a_model_refuse_the_same_folder(tmp_path):
    REFUSED["LLaVA-NeXT"].save_pretrained(tmp_path)
    with pytest.raises(StreamError, match="LlavaNextImageProcessor uses do_pad"):
        load_pixels(tmp_path)
    vision_tower().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="LlavaNextImageProcessor uses do_pad"):
        read_config(language_model(), tmp_path)
