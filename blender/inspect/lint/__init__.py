"""What is wrong or suspicious in a blend, or in what a recipe would give.

``run`` is the way in; ``checks`` is the table of all checks, ``material`` what they look at. ``docs/lint.md`` explains
each check to those who read its findings.
"""

from blender.inspect.lint.findings import Example, Finding, LintReport, Severity
from blender.inspect.lint.gather import TokenCounter
from blender.inspect.lint.run import LintSettings, lint_blend, lint_plan

__all__ = ["Example", "Finding", "LintReport", "LintSettings", "Severity", "TokenCounter", "lint_blend", "lint_plan"]
