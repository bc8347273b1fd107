"""Image stores (folder, zip, tar, parquet, base64 JSON; local or remote) and the survey of the images in them."""

from blender.images.damage import Check, DamagedImage
from blender.images.opening import open_store
from blender.images.store import ImageStore, VanishedError
from blender.images.survey import ImageInfo, ImageLimits, survey_image

__all__ = [
    "Check",
    "DamagedImage",
    "ImageInfo",
    "ImageLimits",
    "ImageStore",
    "VanishedError",
    "open_store",
    "survey_image",
]
