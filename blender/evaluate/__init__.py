"""Asking models the same questions and comparing what they say: conversation files, metrics, tables.

Stations: :mod:`~blender.evaluate.read` makes conversations of files and blends, :mod:`~blender.evaluate.run` asks
the models, :mod:`~blender.evaluate.results` keeps every answer on disk, :mod:`~blender.evaluate.summary` makes figures
of them, and :mod:`~blender.evaluate.page` a page to look at.
"""
