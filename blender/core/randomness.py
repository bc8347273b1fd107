"""Random numbers that depend on what they are for, and on nothing else.

Each purpose ("concatenate", dataset, split, copy number, …) has its own generator, derived from the recipe's seed.
Changing one entry of a recipe therefore changes no other entry's draws.
"""

import hashlib

import numpy as np


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Make the generator of a purpose.

    Args:
        seed: The recipe's seed.
        purpose: Words and numbers that name what is drawn; the same ones always give the same generator.
    """
    words = hashlib.sha256("\x1f".join(map(str, purpose)).encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(words, dtype="<u4").tolist()])
