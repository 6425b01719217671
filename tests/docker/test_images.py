"""The Dockerfile: no complaint of its linter, pinned, nobody root, and nothing secret near it."""

import re
import subprocess
import sys
from pathlib import Path

from tests.docker.compose import DOCKERFILE, ROOT


def test_linter_has_no_complaint() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, "--no-color", DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_images_are_pinned_by_full_version() -> None:
    stages = re.findall(r"^FROM (\S+) AS (\w+)$", DOCKERFILE.read_text(), re.MULTILINE)
    made = {name for _, name in stages}
    outside = {image for image, _ in stages if image not in made}
    assert len(outside) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", outside.pop())


def test_both_programs_run_as_somebody_without_rights() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE.read_text(), flags=re.MULTILINE)
    runtime = next(stage for stage in stages if " AS runtime\n" in stage)
    assert re.findall(r"^USER (\S+)$", runtime, re.MULTILINE) == ["10001:10001"]
    for name in ("snk", "tst"):
        stage = next(stage for stage in stages if f" AS {name}\n" in stage)
        assert stage.startswith("runtime ")
        assert "USER" not in stage


def test_builder_is_sent_what_is_copied_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    sent = {line[1:] for line in lines if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    assert sent == {name for names in copied for name in names.split()}
    assert all((ROOT / name).exists() for name in sent)
