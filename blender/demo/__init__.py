"""The demo corpus: pictures of coloured shapes, drawn with text whose every answer is true of them.

It has the layouts of the published datasets, so that the whole program can be tried, tested and measured without them,
and a scene graph beside the pictures, so that a model's answers can be counted right or wrong.
"""

from blender.demo.corpus import CorpusError, CorpusSummary, draw_corpus

__all__ = ["CorpusError", "CorpusSummary", "draw_corpus"]
