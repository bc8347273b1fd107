"""Ask models the same questions and compare their answers: conversation files, metrics, tables.

:mod:`~blender.evaluate.read` reads conversations from files and blends, :mod:`~blender.evaluate.run` asks the models,
:mod:`~blender.evaluate.results` writes every answer to disk, :mod:`~blender.evaluate.summary` computes figures, and
:mod:`~blender.evaluate.page` writes a page to look at.
"""
