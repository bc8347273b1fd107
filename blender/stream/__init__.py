"""From shards to training: which sample comes when, and how it is read, encoded and put into batches.

The order is pure and is made of four small parts: ``order`` (one pass over one blend), ``mixture`` (several blends and
their shares), ``schedule`` (which of them comes next) and ``plan`` (all of it together: batches, ranks, state).
"""
