"""What ``mkdocs.yml`` adds to mkdocs: README and measurements are pages of the site, under the links they have.

The files of ``docs/`` link as they do on a Git server: ``../README.md``, ``../benchmarks/RESULTS.md``. In the site both
are inside, so their links are rewritten before mkdocs checks them.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

#: files outside docs/ that are pages, by their path in the site
_OUTSIDE = {"index.md": "README.md", "benchmarks/RESULTS.md": "benchmarks/RESULTS.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files outside of ``docs/``."""
    root = Path(config.config_file_path).parent
    for path, source in _OUTSIDE.items():
        files.append(File.generated(config, path, abs_src_path=str(root / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links at the pages of the site, and call pages by their names instead of their files'."""
    if page.file.src_uri == "index.md":
        markdown = re.sub(r"\]\(docs/", "](", markdown)
    elif "/" not in page.file.src_uri:
        markdown = re.sub(r"\]\(\.\./(?:README(?=\.md))?", _inside, markdown)
    return re.sub(r"\[(?:docs/)?([\w-]+)\.md\]\(", r"[\1](", markdown)


def _inside(link: re.Match[str]) -> str:
    """Begin a link that leaves ``docs/`` inside of the site."""
    return "](index" if "README" in link[0] else "]("
