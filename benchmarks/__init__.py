"""Measurements of the blender against limits and peers in the same run: ``python -m benchmarks``.

``plan`` plans annotation files of the published sizes, ``write`` writes shards of photograph-sized JPEGs beside ``tar``
and other people's writers. Figures are ratios to something measured interleaved with them, since machines differ and
are never quiet. RESULTS.md holds the last ones that were kept.
"""
