"""What is known of published datasets: their licences, as their own pages state them.

A dataset is told by the name of its file. What a page says may change, and some say one thing in their header and more
in their terms; a card repeats both and sends its readers there.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A published dataset."""

    name: str
    #: where it is published
    page: str
    #: what the page says of the texts
    licence: str
    #: what holds for the images
    images: str
    #: whether a language model wrote the texts
    generated: bool
    #: names of its files
    files: str
    #: reader, where the names alone would fit anything
    format: str | None = None


_COCO = "COCO photographs: Flickr's terms of use"

#: in the order in which they are looked for; seen on the pages in 2024 to 2026
PUBLISHED = (
    Published(
        "LLaVA-Instruct-150K",
        "https://huggingface.co/datasets/liuhaotian/LLaVA-Instruct-150K",
        "CC BY 4.0 (earlier CC BY-NC 4.0), and OpenAI's terms of use",
        _COCO,
        True,
        r"detail_23k|complex_reasoning_77k|conversation_58k|llava_instruct_(80|150)k",
    ),
    Published(
        "LLaVA v1.5 mix",
        "https://huggingface.co/datasets/liuhaotian/LLaVA-Instruct-150K",
        "CC BY 4.0, and OpenAI's terms of use; holds parts of other datasets with licences of their own",
        "COCO, GQA, OCR-VQA, TextVQA and Visual Genome: each its own",
        True,
        r"llava_v1_5_mix665k",
    ),
    Published(
        "MIMIC-IT",
        "https://huggingface.co/datasets/pufanyi/MIMICIT",
        "MIT in the header; its agreement allows scientific and research use only",
        "those of the data sources that its agreement lists; COCO for CGD",
        True,
        r"(CGD|SD|SN|TVC|VST|LADD|LACR_I2I|LACR_T2T|LACONV|DC|E4D)_instructions",
    ),
    Published(
        "SparklesDialogue",
        "https://github.com/HYPJUDY/Sparkles",
        "BSD 3-Clause (the repository's)",
        "Conceptual Captions (SparklesDialogueCC), Visual Genome (SparklesDialogueVG): each its own",
        True,
        r"SparklesDialogue(CC|VG)",
    ),
    Published(
        "cc_sbu_align",
        "https://huggingface.co/datasets/Vision-CAIR/cc_sbu_align",
        "none stated",
        "Conceptual Captions and SBU: each its own",
        True,
        r"filter_cap",
        "minigpt4",
    ),
    Published(
        "A-OKVQA",
        "https://github.com/allenai/aokvqa",
        "Apache 2.0 (the repository's)",
        _COCO,
        False,
        r"aokvqa_v1p0_\w+",
    ),
    Published(
        "COCO captions",
        "https://cocodataset.org/#termsofuse",
        "CC BY 4.0",
        _COCO,
        False,
        r"dataset(_coco)?",
        "coco_caption",
    ),
    Published(
        "OCR-VQA",
        "https://ocr-vqa.github.io",
        "none stated",
        "covers of books: their publishers'",
        False,
        r"dataset",
        "ocr_vqa",
    ),
)


def published_as(file: str, format: str | None = None) -> Published | None:
    """Tell a published dataset by the name of one of its files; None when it is not a known one.

    Args:
        file: Name or path of an annotation file.
        format: The reader of the file.
    """
    base = re.split(r"[/\\]", file)[-1]
    stem = re.sub(r"\.(jsonl?|gz|zst|bz2|xz)$", "", re.sub(r"\.(gz|zst|bz2|xz)$", "", base))
    fitting = (each for each in PUBLISHED if re.fullmatch(each.files, stem, re.IGNORECASE))
    return next((each for each in fitting if each.format in (None, format)), None)
