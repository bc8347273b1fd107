"""Connected components of a graph, by whole arrays at a time."""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def components(num_nodes: int, left: Ints, right: Ints) -> Ints:
    """Find out which nodes hang together, directly or through others.

    Labels spread over all edges at once, and every label is itself hung under its own label, as in union-find, so that
    the rounds are as the logarithm of the longest way.

    Args:
        num_nodes: Nodes are 0 to ``num_nodes - 1``.
        left: (E,) one end of each edge.
        right: (E,) the other.

    Returns:
        (``num_nodes``,) of each node, the lowest node that it hangs together with.
    """
    label = np.arange(num_nodes)
    while True:
        lower = label.copy()
        for one, other in ((left, right), (right, left)):
            np.minimum.at(lower, one, label[other])
            np.minimum.at(lower, label[one], label[other])
        lower = lower[lower]
        if np.array_equal(lower, label):
            return label
        label = lower
