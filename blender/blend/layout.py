"""The version of what a blend's folder and its samples look like."""

#: part of every fingerprint: raise it when the same recipe and inputs would give other shards
LAYOUT_VERSION = 2
#: the layouts that readers understand
READABLE_LAYOUTS = (1, 2)
