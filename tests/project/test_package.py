"""What is built: the wheel holds the tap and nothing else, and tells a package index all that it shows."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from email import message_from_bytes
from typing import TYPE_CHECKING
from zipfile import ZipFile

from scripts.documents import PROJECT
from tests.support.run import environment

if TYPE_CHECKING:
    from pathlib import Path

LINK = re.compile(r"\]\((?P<target>[^)]+)\)")


def test_wheel_holds_the_package_and_what_an_index_shows(tmp_path: Path) -> None:
    """It is built from the sdist; the links of the README lead to the files of the version that was built."""
    command = [sys.executable, "-m", "build", "--no-isolation", f"--outdir={tmp_path}", str(PROJECT)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.glob("*.whl")
    with ZipFile(path) as wheel:
        names = wheel.namelist()
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        told = message_from_bytes(wheel.read(metadata))

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
    assert dict(url.split(", ") for url in told.get_all("Project-URL", [])) == project["urls"]
    assert str(told["Keywords"]).split(",") == project["keywords"]
    extras = project["optional-dependencies"]
    assert sorted(told.get_all("Provides-Extra", [])) == sorted(extras) == ["faker", "parquet", "s3"]
    requirements = [*project["dependencies"], *extras["faker"], *extras["parquet"], *extras["s3"]]
    assert len(told.get_all("Requires-Dist", [])) == len(requirements)

    kept = [match["target"] for match in LINK.finditer((PROJECT / "README.md").read_text(encoding="utf-8"))]
    tree = f"{project['urls']['Source']}/blob/v{told['Version']}"
    wanted = [link if link.startswith(("https://", "#")) else f"{tree}/{link}" for link in kept]
    assert [match["target"] for match in LINK.finditer(str(told.get_payload()))] == wanted
    assert f"{tree}/docs/design.md#limits" in wanted
