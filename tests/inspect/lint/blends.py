"""Small blends with something wrong in them: LLaVA records and pictures as a test wants them, planned and written."""

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from blender.blend.plan import make_plan
from blender.inspect.lint import LintSettings, lint_blend, lint_plan
from blender.recipe import recipe_from
from blender.shards.blend import write_blend
from blender.shards.reader import open_blend
from tests import corpora


def ask(image, *pairs):
    """Make a LLaVA record about an image, of (question, answer) pairs."""
    turns = []
    for place, (question, answer) in enumerate(pairs):
        turns.append({"from": "human", "value": question + ("\n<image>" if place == 0 and image else "")})
        turns.append({"from": "gpt", "value": answer})
    return {"id": f"about {image}", **({"image": image} if image else {}), "conversations": turns}


def plain(number):
    """Make a record with nothing wrong in it."""
    return ask(
        f"{number}.jpg", (f"What is shown here, number {number}?", f"A pattern of many coloured patches, {number}.")
    )


@dataclass
class Made:
    """What a test wants to be blended."""

    root: Path
    #: records by source
    sources: dict = field(default_factory=dict)
    #: changes of the recipe
    recipe: dict = field(default_factory=dict)

    def records(self, source="llava"):
        return self.sources.setdefault(source, [])

    def draw(self, *numbers, size=(48, 40)):
        for number in numbers:
            corpora.draw(self.root / "images" / f"{number}.jpg", number, size)

    def plain(self, *numbers, source="llava"):
        """Add records with nothing wrong in them, and their pictures."""
        self.draw(*numbers)
        self.records(source).extend(map(plain, numbers))

    def keep_system_texts(self, source="llava"):
        files = str(self.root / f"{source}.json")
        options = {"format": "llava", "files": files, "images": "photos", "system": "keep"}
        self.recipe.setdefault("sources", {})[source] = options

    def load(self):
        for source, records in self.sources.items():
            (self.root / f"{source}.json").write_text(json.dumps(records))
        data = {
            "name": "made",
            "images": {"photos": str(self.root / "images")},
            "sources": {
                name: {"format": "llava", "files": str(self.root / f"{name}.json"), "images": "photos"}
                for name in self.sources
            },
            "blend": [{"name": name, "from": name} for name in self.sources],
            "split": {"eval": 0},
        }
        return recipe_from(data | self.recipe)

    def lint(self, **settings):
        """Lint the plan and the blend; both must find the same."""
        recipe, settings = self.load(), LintSettings(**settings)
        with tempfile.TemporaryDirectory() as folder:
            planned = lint_plan(make_plan(recipe, Path(folder)), settings)
        write_blend(recipe, self.root / "blend", workers=1, overwrite=True)
        written = lint_blend(open_blend(self.root / "blend"), settings)
        assert planned == written
        return written


def found(report):
    """Return how much each check found."""
    return {finding.check: finding.count for finding in report.findings}


def details(report, check):
    """Return what a check says of its examples."""
    finding = next(finding for finding in report.findings if finding.check == check)
    return [example.detail for example in finding.examples]
