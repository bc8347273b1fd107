"""Connected components of a graph, computed with whole arrays."""

import numpy as np
import numpy.typing as npt

Nodes = npt.NDArray[np.integer]


def components(num_nodes: int, left: Nodes, right: Nodes) -> npt.NDArray[np.int32]:
    """Find the connected components of a graph.

    Connected components by pointer jumping, O(log n) rounds: in each, the lower label of an edge's ends goes to both,
    and to the nodes whose labels these are; then every label is replaced by its own label.

    Args:
        num_nodes: Nodes are 0 to ``num_nodes - 1``.
        left: (E,) one end of each edge.
        right: (E,) the other.

    Returns:
        (``num_nodes``,) the lowest node of each node's component.
    """
    label = np.arange(num_nodes, dtype=np.int32)
    while True:
        lower = label.copy()
        for source, target in ((left, right), (right, left)):
            labels = label[source]
            np.minimum.at(lower, target, labels)
            np.minimum.at(lower, label[target], labels)
        lower = lower[lower]
        if np.array_equal(lower, label):
            return label
        label = lower
