"""Small corpora in the published layouts, written to disk for tests: real JPEGs, real annotation files."""

import json
from pathlib import Path

import numpy as np
import yaml
from PIL import Image


def coco_name(number):
    return f"{number:012d}.jpg"


def draw(path, number, size=(48, 32)):
    """Write a JPEG that differs from those of other numbers."""
    pixels = np.random.default_rng(number).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).resize(size).save(path, quality=80)


def llava(number, text="", rounds=1):
    """Make a LLaVA record about image ``number``."""
    turns = []
    for place in range(rounds):
        head = "<image>\n" if place == 0 else ""
        turns.append({"from": "human", "value": f"{head}What is in it, question {place}? {text}".strip()})
        turns.append({"from": "gpt", "value": f"Answer {place} about {number}. {text}".strip()})
    return {"id": coco_name(number)[:-4], "image": coco_name(number), "conversations": turns}


def cgd(pairs, rounds=2):
    """Make a MIMIC-IT file of instructions about pairs of COCO images."""
    data = {}
    for pair, images in enumerate(pairs):
        ids = [f"CGD_INS_{pair * rounds + place:06d}" for place in range(rounds)]
        for place, name in enumerate(ids):
            data[name] = {
                "instruction": f"How does the first image differ from the second image, {place}?",
                "answer": f"The second image is not the first image, {pair}.{place}.",
                "image_ids": [f"CGD_IMG_{image:012d}" for image in images],
                "rel_ins_ids": [other for other in ids if other != name],
            }
    return {"meta": {"version": "0.0.1", "time": "2023-06", "author": "test"}, "data": data}


def sparkles(images):
    """Make a Sparkles dialogue: all but the last image first, the last in a second round."""
    shown = " ".join(f"IMAGE#{image}<Img><ImageHere></Img>" for image in images[:-1])
    return {
        "dialogue": [
            {"role": "user", "content": f"Compare {shown}.", "images": [{"image_id": i} for i in images[:-1]]},
            {"role": "assistant", "content": f"IMAGE#{images[0]} is fine."},
            {
                "role": "user",
                "content": f"And IMAGE#{images[-1]}<Img><ImageHere></Img>?",
                "images": [{"image_id": images[-1]}],
            },
            {"role": "assistant", "content": f"IMAGE#{images[-1]} is better than IMAGE#{images[0]}."},
        ]
    }


RECIPE = {
    "name": "small",
    "seed": 7,
    "images": {"coco": "{root}/coco", "sparkles": "{root}/sparkles"},
    "sources": {
        "llava": {"format": "llava", "files": ["{root}/detail.json", "{root}/complex.json"], "images": "coco"},
        "llava_dial": {"format": "llava", "files": ["{root}/conversation.json"], "images": "coco"},
        "cgd": {"format": "mimicit", "files": ["{root}/cgd.json"], "images": "coco"},
        "sparkles": {"format": "sparkles", "files": ["{root}/sparkles.json"], "images": "sparkles"},
    },
    "blend": [
        {"name": "llava", "from": "llava", "concatenate": [1, 3]},
        {"name": "llava_dial", "from": "llava_dial", "concatenate": [1, 2]},
        {"name": "cgd", "from": "cgd"},
        {"name": "llava_otter_blend", "image_match": {"base": "cgd", "with": ["llava", "llava_dial"]}},
        {"name": "sparkles", "from": "sparkles"},
    ],
    "split": {"eval": 0.1},
    "shards": {"max_samples": 10},
}


def write_corpus(root, num_images=40):
    """Write a corpus of all four kinds; return the root."""
    for number in range(num_images):
        draw(root / "coco" / coco_name(number), number)
    for number in range(12):
        draw(root / "sparkles" / f"{number + 100}.jpg", 1000 + number)
    half = num_images // 2
    files = {
        "detail": [llava(number) for number in range(half)],
        "complex": [llava(number, "Look at the first image.") for number in range(0, num_images, 2)],
        "conversation": [llava(number, rounds=3) for number in range(0, num_images, 3)],
        "cgd": cgd([(number, number + 1) for number in range(0, num_images - 1, 4)]),
        "sparkles": [sparkles([100 + n, 101 + n, 102 + n]) for n in range(0, 9, 3)],
    }
    for name, content in files.items():
        (root / f"{name}.json").write_text(json.dumps(content))
    return root


def write_recipe(root, change=None):
    """Write the recipe for a corpus; ``change`` edits it as a dict. Returns its path."""
    recipe = json.loads(json.dumps(RECIPE).replace("{root}", Path(root).as_posix()))
    if change:
        change(recipe)
    path = root / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def contents(folder):
    """Return every file below a folder, by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
