import torch
from hypothesis import given
from hypothesis import strategies as st

from blender.train.vision_cache import VisionCache

DEVICE = torch.device("cpu")
#: bytes of the features of an image below
SIZE = 4 * 3 * 2


class Tower:
    """Features that tell the image; counts what it is asked."""

    def __init__(self):
        self.seen = []

    def __call__(self, pixels):
        self.seen += pixels[:, 0, 0, 0].tolist()
        return pixels[:, :1, 0, 0, None].float().expand(-1, 3, 2) * 1.0


def images(numbers):
    return torch.tensor(numbers, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4)


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1, max_size=12), st.integers(0, 8))
def test_features_are_the_tower_s_in_order_and_memory_is_bounded(batches, room):
    tower = Tower()
    cache = VisionCache(room * SIZE, tower)
    for numbers in batches:
        features = cache.features(images(numbers), DEVICE)
        assert features[:, 0, 0].tolist() == numbers
        assert features.shape == (len(numbers), 3, 2)
        assert sum(kept.nbytes for kept in cache._features.values()) <= room * SIZE
    assert cache.num_requests == sum(map(len, batches))
    assert cache.num_hits == cache.num_requests - len(tower.seen)


def test_an_image_is_encoded_once_while_there_is_room():
    tower = Tower()
    cache = VisionCache(10 * SIZE, tower)
    for numbers in ([1, 2, 1], [2, 3], [3, 1]):
        cache.features(images(numbers), DEVICE)
    assert tower.seen == [1, 2, 3]
    assert cache.num_hits == 4


def test_the_least_recently_used_is_dropped():
    tower = Tower()
    cache = VisionCache(2 * SIZE, tower)
    for numbers in ([1], [2], [1], [3], [1], [2]):
        cache.features(images(numbers), DEVICE)
    assert tower.seen == [1, 2, 3, 2]
