"""The docs build as a site, strictly, and the site needs nobody else: it is read and searched from a folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


def test_what_python_imports_is_explained(site):
    page = (site / "api" / "stream.html").read_text(encoding="utf-8")
    assert "<code>max_tokens</code> positions" in page, "a comment of a field"
    assert "StreamLoader" in page
    assert not re.search(r":(class|meth|mod|func):<code>", page)


def test_the_site_is_searched_from_a_folder_without_a_network(site, chromium):
    page = chromium.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((site / "index.html").as_uri())
    page.click(".md-search__input")
    page.keyboard.type("loss mask")
    page.wait_for_selector(".md-search-result__link")
    assert {url.partition(":")[0] for url in asked} <= {"file", "data", "blob"}
    page.close()
