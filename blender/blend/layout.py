"""The version of what a blend's folder and its samples look like."""

#: part of every fingerprint: raise it when the same plan would give other shards
LAYOUT_VERSION = 1
