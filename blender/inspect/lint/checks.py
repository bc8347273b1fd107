"""Every check by name, in the order in which they are told."""

from blender.inspect.lint import answers, images, leaks, lengths, marks, numbers, sources, texts, unshown
from blender.inspect.lint.check import Check
from blender.recipe.lint import LINT_CHECKS

_FAMILIES = (leaks, sources, answers, numbers, unshown, texts, marks, images, lengths)

CHECKS: dict[str, Check] = {check.name: check for family in _FAMILIES for check in family.CHECKS}

assert set(CHECKS) == set(LINT_CHECKS), set(CHECKS) ^ set(LINT_CHECKS)
