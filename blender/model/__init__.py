"""The DeepSpeed-VisualChat model: vision tower, projector, and a decoder with multi-modal causal attention."""

from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText, AutoProcessor

from blender.model.building import check_vocabulary, read_config
from blender.model.configuration import VisualChatConfig
from blender.model.modeling import VisualChatModel, VisualChatOutput
from blender.model.processing import VisualChatProcessor
from blender.model.saving import read_saved_config, trained_names
from blender.model.trainable import merge_adapters, parameter_groups, set_trainable, trainable_parameters

AutoConfig.register(VisualChatConfig.model_type, VisualChatConfig, exist_ok=True)
AutoModel.register(VisualChatConfig, VisualChatModel, exist_ok=True)
AutoModelForImageTextToText.register(VisualChatConfig, VisualChatModel, exist_ok=True)
AutoProcessor.register(VisualChatConfig, VisualChatProcessor, exist_ok=True)  # type: ignore[no-untyped-call]

__all__ = [
    "VisualChatConfig",
    "VisualChatModel",
    "VisualChatOutput",
    "VisualChatProcessor",
    "check_vocabulary",
    "merge_adapters",
    "parameter_groups",
    "read_config",
    "read_saved_config",
    "set_trainable",
    "trainable_parameters",
    "trained_names",
]
