"""Every check by name, in the order in which they are told."""

from blender.inspect.lint import answers, images, leaks, lengths, markers, references, sources, texts, unshown
from blender.inspect.lint.check import Check
from blender.recipe.lint import LINT_CHECKS

_FAMILIES = (leaks, sources, answers, references, unshown, texts, markers, images, lengths)

CHECKS: dict[str, Check] = {check.name: check for family in _FAMILIES for check in family.CHECKS}

assert set(CHECKS) == set(LINT_CHECKS), set(CHECKS) ^ set(LINT_CHECKS)
