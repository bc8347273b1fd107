import os
import shutil
import subprocess
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

from blender import load_recipe, write_blend
from tests import corpora

# machines are shared and noisy: how long an example takes says nothing about the code
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# the same examples in every run, so that a run tells what a change did; `make search` draws new ones
settings.register_profile("patient", patient, derandomize=True)
settings.register_profile("searching", patient, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "patient"))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A small corpus that no test changes."""
    return corpora.write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def own_corpus(tmp_path):
    """A small corpus for a test to damage."""
    return corpora.write_corpus(tmp_path / "corpus")


@pytest.fixture(scope="session")
def written(corpus, tmp_path_factory):
    """The folder of a blend of several shards that no test changes."""
    folder = tmp_path_factory.mktemp("written") / "blend"
    write_blend(load_recipe(corpora.write_recipe(corpus)), folder, workers=1)
    return folder


@pytest.fixture
def own_blend(written, tmp_path):
    """The same blend, for a test to change."""
    return shutil.copytree(written, tmp_path / "blend")


@pytest.fixture
def mount_disk(tmp_path):
    """Mount a small file system of so many bytes, where that is allowed."""
    mounted = []

    def mount(num_bytes):
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={num_bytes}", "tmpfs", str(place)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting a small file system is not allowed here")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=False)


@pytest.fixture(autouse=True)
def _own_cache_of_remote_files(tmp_path_factory, monkeypatch):
    """Let no test see what another one fetched."""
    monkeypatch.setenv("VISUALCHAT_CACHE", str(tmp_path_factory.getbasetemp() / f"remote-{uuid4().hex}"))


BROWSER_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium():
    """A real browser; one for all tests of a process, where a second could not be started."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no chromium on this machine; Debian's package `chromium` brings one")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=BROWSER_ARGUMENTS)
        yield browser
        browser.close()
