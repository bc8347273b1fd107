"""JPEGs of photograph size, and a recipe that blends them one by one."""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

_DISTINCT = 64


def write_images(folder: Path, num_images: int, seed: int = 0) -> int:
    """Write noisy 640 x 480 JPEGs of about 160 kB each, as in COCO; return their bytes.

    A few are drawn and the others are copies with another comment, so that no two files are the same.
    """
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    contents = [_photograph(random, folder / "drawn.jpg") for _ in range(min(_DISTINCT, num_images))]
    (folder / "drawn.jpg").unlink()
    total = 0
    for number in range(num_images):
        content = contents[number % len(contents)]
        comment = f"{number:012d}".encode()
        marked = content[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + content[2:]
        (folder / f"{number:012d}.jpg").write_bytes(marked)
        total += len(marked)
    return total


def _photograph(random: np.random.Generator, path: Path) -> bytes:
    coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((640, 480), 3)
    pixels = np.asarray(coarse.filter(ImageFilter.GaussianBlur(4)), dtype=np.int16)
    noisy = np.clip(pixels + random.normal(0, 15, pixels.shape), 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(path, quality=90)
    return path.read_bytes()


def write_recipe(root: Path, num_images: int) -> Path:
    """Write LLaVA records about the images, and a recipe that takes each as it is."""
    records = [
        {
            "id": f"{number:012d}",
            "image": f"{number:012d}.jpg",
            "conversations": [
                {"from": "human", "value": "<image>\nWhat do you see happening in this image?"},
                {"from": "gpt", "value": f"The scene depicts plaza {number}, with several people. " * 12},
            ],
        }
        for number in range(num_images)
    ]
    (root / "records.json").write_text(json.dumps(records))
    recipe = {
        "name": "benchmark",
        "images": {"images": str(root / "images")},
        "sources": {"llava": {"format": "llava", "files": str(root / "records.json"), "images": "images"}},
        "blend": [{"name": "llava", "from": "llava"}],
        "split": {"eval": 0},
        "shards": {"max_samples": 500},
    }
    path = root / "recipe.yaml"
    path.write_text(json.dumps(recipe))
    return path
