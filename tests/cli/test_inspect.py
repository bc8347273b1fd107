"""``visualchat inspect`` with a report, and with a page that is served."""

import json
import signal
import subprocess
import sys
import urllib.request

import pytest

from tests import corpora
from tests.cli.in_process import run
from tests.stream.tiny_tokenizers import tiny_tokenizer


@pytest.fixture(scope="module")
def blend(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inspect") / "blend"
    run("blend", corpora.write_recipe(corpus), "--out", folder)
    return folder


def test_a_report_is_written_and_told(blend, tmp_path):
    before = corpora.contents(blend)
    out, _ = run("inspect", blend, "--html", tmp_path / "r.html", "-n", "7", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert f"{tmp_path / 'r.html'}: 7 of" in out.replace("\n", "")
    assert (tmp_path / "r.html").read_text(encoding="utf-8").count('"split":"train"') >= 1
    assert corpora.contents(blend) == before, "a blend is left as it is"


def test_a_page_is_served_until_it_is_interrupted(blend, tmp_path):
    command = [sys.executable, "cli.py", "inspect", blend, "--serve", "--port", "0"]
    environment = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, env=environment) as process:
        url = process.stdout.readline().split()[1]
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{url}api/samples") as answer:
            total = json.load(answer)["total"]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""
    manifest = json.loads((blend / "manifest.json").read_text())
    assert total == sum(shard["num_samples"] for shard in manifest["shards"])


def test_one_sample_is_shown_as_its_tokens(blend, tmp_path):
    tiny_tokenizer("llama3").save_pretrained(tmp_path)
    options = ("inspect", blend, "--sample", "0", "--tokenizer", tmp_path, "--image-tokens", "7")
    shown = json.loads(run(*options, "--json")[0])
    assert shown["tokens"]["image_positions"] == 7 * len(shown["sample"]["images"])
    limit = shown["tokens"]["positions"] - 1
    out, _ = run(*options, "--max-tokens", limit)
    assert f"--- {limit} tokens allowed: the rest is cut off ---" in out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--html", "x.html", "--serve"), 2, "--html and --serve cannot be given together"),
        (("--html", "x.html", "--json"), 2, "cannot be given together"),
        (("--port", "1"), 2, "--port needs --serve"),
        (("--seed", "1"), 2, "--seed needs --html"),
        (("--tokenizer", "x", "--image-tokens", "1"), 2, "--tokenizer needs --html or --sample"),
        (("--stats", "--template", "chat", "--tokenizer", "x", "--image-tokens", "1"), 2, "needs --html or --sample"),
        (("--sample", "0", "--vision", "x"), 2, "--vision needs --tokenizer"),
        (("--workers", "1"), 2, "--workers needs --html or --serve"),
        (("--html", "x.html", "--host", "0.0.0.0"), 2, "--host needs --serve"),
        (("--html", "/nowhere/x.html"), 1, "cannot write"),
        (("--serve", "--host", "203.0.113.9"), 1, "cannot listen at 203.0.113.9"),
    ],
)
def test_faults_are_told_in_a_sentence(blend, arguments, code, words, tmp_path):
    _, err = run("inspect", blend, *arguments, code=code, XDG_CACHE_HOME=str(tmp_path))
    assert words in " ".join(err.replace("│", " ").split())
