"""Image stores (folder, zip, tar, parquet, base64 JSON; local or remote) and the survey of the images in them."""

from blender.data.images.damage import Check, DamagedImage
from blender.data.images.opening import kept_store, open_store
from blender.data.images.store import ImageStore, VanishedError
from blender.data.images.survey import ImageInfo, ImageLimits, survey_image

__all__ = [
    "Check",
    "DamagedImage",
    "ImageInfo",
    "ImageLimits",
    "ImageStore",
    "VanishedError",
    "kept_store",
    "open_store",
    "survey_image",
]
