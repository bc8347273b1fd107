"""From records to a plan: tables to tables, decided by the recipe and its seed alone.

Stations, in order: ``read`` (a file → a part on disk), ``join`` (parts → numbers), ``cut``, ``resolve`` and
``identity`` (images), ``select`` (reasons), ``split``, ``kinds`` and ``mix`` (samples), ``arrange`` and ``plan``
(order, shards), ``ledger`` (what became of every record). ``tables`` has every schema; docs/architecture.md has the
whole way.
"""
