"""From records to a plan: pure table work, decided by the recipe and its seed alone.

Stations, in order: ``reading`` (files → tables), ``survey`` (image headers), ``usable`` (which conversations may be
used), ``split``, the blends (``plain``, ``concatenate``, ``image_match``), ``mix`` (repeats and samples), ``plan``
(shuffle, shards), ``ledger`` (what became of every record).
"""
