"""One small file of every published format, over the same pictures."""

from typing import Any

from tests import corpora

_NUM = 6


def _minigpt4() -> Any:
    return {"annotations": [{"image_id": str(number), "caption": f"A dog, number {number}."} for number in range(_NUM)]}


def _aokvqa() -> Any:
    return [
        {
            "image_id": number,
            "question": "What is in the boxes?",
            "choices": ["bananas", "dogs"],
            "correct_choice_idx": number % 2,
            "rationales": ["They are yellow."],
            "question_id": f"q{number}",
        }
        for number in range(_NUM)
    ]


def _coco_caption() -> Any:
    return {
        "images": [
            {
                "filename": corpora.coco_name(number),
                "filepath": "train2014",
                "split": "train",
                "sentences": [{"raw": f"A dog, number {number}."}, {"raw": "An animal."}],
            }
            for number in range(_NUM)
        ]
    }


def _ocr_vqa() -> Any:
    return {
        corpora.coco_name(number)[:-4]: {
            "imageURL": f"http://host/{number}.jpg",
            "questions": ["Who?", "What?"],
            "answers": ["Me", "A book"],
            "split": 1,
        }
        for number in range(_NUM)
    }


def files() -> dict[str, Any]:
    """Return the content of one annotation file by format."""
    return {
        "llava": [corpora.llava(number, rounds=1 + number % 3) for number in range(_NUM)],
        "mimicit": corpora.cgd([(number, number + 1) for number in range(_NUM - 1)]),
        "sparkles": [corpora.sparkles([number, number + 1, number + 2]) for number in range(_NUM - 2)],
        "minigpt4": _minigpt4(),
        "aokvqa": _aokvqa(),
        "coco_caption": _coco_caption(),
        "ocr_vqa": _ocr_vqa(),
    }
