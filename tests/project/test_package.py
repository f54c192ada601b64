"""What is built: the wheel holds the tap and nothing else, and tells a package index all that it shows."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from email import message_from_bytes
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest

from scripts.documents import PROJECT
from tests.support.run import environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import Message
    from pathlib import Path

URL = "https://example.org/somebody/tap-kissmetrics"
LINK = re.compile(r"\]\((?P<target>[^)]+)\)")


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., ZipFile]:
    """Build an sdist and, from it, the wheel."""

    def run(**variables: str) -> ZipFile:
        command = [sys.executable, "-m", "build", "--no-isolation", f"--outdir={tmp_path}", str(PROJECT)]
        done = subprocess.run(command, env=environment(variables), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        (wheel,) = tmp_path.glob("*.whl")
        return ZipFile(wheel)

    return run


def metadata(wheel: ZipFile) -> Message:
    """Give what a wheel says of itself."""
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return message_from_bytes(wheel.read(name))


def targets(text: str) -> list[str]:
    """Give where the links of a page lead."""
    return [match["target"] for match in LINK.finditer(text)]


@pytest.mark.slow
def test_release_says_where_the_project_is(build: Callable[..., ZipFile]) -> None:
    """The address is given by who builds; the links of the README lead there, to the version that was built."""
    with build(PROJECT_URL=f"{URL}/") as wheel:
        told = metadata(wheel)
    urls = dict(value.split(", ") for value in told.get_all("Project-URL", []))
    tree = f"{URL}/blob/v{told['Version']}"
    assert urls == {
        "Kissmetrics": "https://www.kissmetrics.io/",
        "Source": URL,
        "Documentation": f"{tree}/README.md",
        "Changelog": f"{tree}/CHANGELOG.md",
        "Issues": f"{URL}/issues",
    }
    shown, kept = targets(str(told.get_payload())), targets((PROJECT / "README.md").read_text(encoding="utf-8"))
    assert [link if link.startswith("https://") else f"{tree}/{link}" for link in kept] == shown
    assert f"{tree}/docs/design.md#limits" in shown


@pytest.mark.slow
def test_build_of_ones_own_makes_no_address_up(build: Callable[..., ZipFile]) -> None:
    """The wheel holds the package and what installs it, as the repository has it; the README is as it is here."""
    with build() as wheel:
        told, names = metadata(wheel), wheel.namelist()
    assert told.get_all("Project-URL") == ["Kissmetrics, https://www.kissmetrics.io/"]
    assert targets(str(told.get_payload())) == targets((PROJECT / "README.md").read_text(encoding="utf-8"))
    package = PROJECT / "tap_kissmetrics"
    files = {path.relative_to(PROJECT).as_posix() for path in package.rglob("*.*") if path.suffix != ".pyc"}
    assert {"tap_kissmetrics/py.typed", "tap_kissmetrics/schemas/core/events.json"} <= files
    assert {name for name in names if ".dist-info/" not in name} == files
    about = {name.partition(".dist-info/")[2] for name in names} - {""}
    assert about == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}

    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert told["License-Expression"] == project["license"]
    assert told["Requires-Python"] == project["requires-python"]
    assert told.get_all("Classifier") == project["classifiers"]
    assert str(told["Keywords"]).split(",") == project["keywords"]
    assert told.get_all("Provides-Extra") == list(project["optional-dependencies"]) == ["s3"]
    requirements = [*project["dependencies"], *project["optional-dependencies"]["s3"]]
    assert len(told.get_all("Requires-Dist", [])) == len(requirements)
