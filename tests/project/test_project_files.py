"""What several files of the project say of one fact is the same in all of them."""

from __future__ import annotations

import os
import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from scripts.about import ABOUT, SETTINGS
from scripts.documents import PROJECT
from scripts.try_targets import TRIALS
from tests.support.tables import code_block
from tests.support.targets import requirements

if TYPE_CHECKING:
    from pathlib import Path

USES = re.compile(r"uses: (?P<action>[\w./-]+)@(?P<commit>[0-9a-f]{40}) # (?P<tag>v\d+\.\d+\.\d+)$")
LINK = re.compile(r"\]\((?P<target>[^)\s#]*)(?:#(?P<anchor>[^)\s]*))?\)")
VARIABLE = re.compile(r"\bTAP_KISSMETRICS_(?P<setting>[A-Z_]+)\b")
VERSION = re.compile(r"(?P<name>target-\w+|\bmeltano)(?:\]\(#[\w-]+\))?(?: |==)(?P<version>\d+(?:\.\d+)+)")
PAGES = [path.relative_to(PROJECT).as_posix() for path in (*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"))]


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    """What pyproject.toml holds."""
    return tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def workflows() -> dict[str, str]:
    """The text of each workflow, which is not in an sdist."""
    found = {path.name: path.read_text(encoding="utf-8") for path in (PROJECT / ".github").glob("workflows/*.yml")}
    if not found and "CI" not in os.environ:
        pytest.skip("no workflows here: these files come from an sdist")
    assert found
    return found


def test_pythons_are_the_same_everywhere(pyproject: dict[str, Any], workflows: dict[str, str]) -> None:
    """Classifiers, tox, ruff, the workflow, which tries newer ones as well, and what the tap tells."""
    project = pyproject["project"]
    prefix = "Programming Language :: Python :: "
    classifiers = [text.removeprefix(prefix) for text in project["classifiers"] if text.startswith(f"{prefix}3.")]
    assert project["requires-python"] == f">={classifiers[0]}"
    assert pyproject["tool"]["tox"]["env"]["lowest"]["base_python"] == [classifiers[0]]
    assert pyproject["tool"]["ruff"]["target-version"] == f"py{classifiers[0].replace('.', '')}"
    tests = yaml.safe_load(workflows["test.yml"])["jobs"]["tests"]
    assert tests["strategy"]["matrix"]["python"][: len(classifiers)] == classifiers
    for version in tests["strategy"]["matrix"]["python"]:
        assert (f'"{version}"' in tests["continue-on-error"]) == (version not in classifiers)
    assert ABOUT["supported_python_versions"] == classifiers


def test_each_action_has_one_version(workflows: dict[str, str]) -> None:
    """It is a commit, with its tag beside it, and the same wherever the action is used, examples included."""
    example = (PROJECT / "examples" / "github-actions.yml").read_text(encoding="utf-8")
    lines = [line.strip().removeprefix("- ") for text in (*workflows.values(), example) for line in text.splitlines()]
    used = [USES.match(line) for line in lines if line.startswith("uses:")]
    assert len(used) > 5
    pins = {(match["action"], match["commit"], match["tag"]) for match in used if match}
    assert all(used), "an action is not pinned to a commit, with its tag beside it"
    assert len({action for action, _, _ in pins}) == len(pins)


def test_programs_have_one_version() -> None:
    """A page names the version of a target, or of Meltano, that is run here; a loader's is in meltano.yml."""
    named = [match for page in PAGES for match in VERSION.finditer((PROJECT / page).read_text(encoding="utf-8"))]
    assert {match["name"] for match in named} >= {"target-postgres", "target-csv", "target-jsonl", "target-duckdb"}
    for match in named:
        trial = TRIALS.get(match["name"])
        tested = trial.version if trial else requirements(match["name"])[0].split("==")[1]
        assert match["version"] == tested, match[0]


def test_targets_from_git_have_one_commit() -> None:
    """The page installs the commits that the script has tried, and a package has the version that the script names."""
    page = (PROJECT / "docs" / "targets.md").read_text(encoding="utf-8")
    tried = {requirement for trial in TRIALS.values() for requirement in trial.requirements}
    shown = re.findall(r"'([\w-]+ @ git\+[^']+)'", page)
    assert len(shown) >= 3
    assert set(shown) <= tried
    for trial in TRIALS.values():
        (_, version) = trial.requirements[0].rsplit("==", 1) if "==" in trial.requirements[0] else ("", trial.version)
        assert version == trial.version


def test_the_definition_of_target_duckdb_is_what_the_tests_install() -> None:
    """With another DuckDB it loses records."""
    (loader,) = yaml.safe_load(code_block("targets", "duckdb"))["plugins"]["loaders"]
    assert tuple(loader["pip_url"].split()) == requirements(loader["name"])


def test_each_tried_target_has_its_row() -> None:
    """The table that the script writes leaves none out."""
    page = (PROJECT / "docs" / "targets.md").read_text(encoding="utf-8")
    table = page.partition("<!-- types -->")[2].partition("<!-- /types -->")[0]
    assert re.findall(r"^\| (target-\w+) ", table, re.MULTILINE) == list(TRIALS)


def anchors(page: Path) -> set[str]:
    """Give the anchors that GitHub makes of a page's headings, none of which comes twice."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings_of_the_project(page: str) -> None:
    path = PROJECT / page
    for match in LINK.finditer(path.read_text(encoding="utf-8")):
        if not match["target"].startswith("https://"):
            target = path.parent / match["target"] if match["target"] else path
            assert target.exists(), match[0]
            assert not match["anchor"] or match["anchor"] in anchors(target), match[0]


def test_variables_are_those_of_settings() -> None:
    """A renamed setting leaves no variable behind."""
    texts = {page: (PROJECT / page).read_text(encoding="utf-8") for page in PAGES}
    named = {match["setting"].lower(): page for page, text in texts.items() for match in VARIABLE.finditer(text)}
    assert "api_token" in named
    known = {*SETTINGS, "loglevel"}  # which the SDK reads itself
    assert {setting: page for setting, page in named.items() if setting not in known} == {}


def test_the_range_of_meltano_is_that_of_the_project() -> None:
    """What the README tells to install runs this project."""
    project = yaml.safe_load((PROJECT / "meltano.yml").read_text(encoding="utf-8"))
    assert f"'meltano{project['requires_meltano']}'" in (PROJECT / "README.md").read_text(encoding="utf-8")


def test_the_design_names_every_module() -> None:
    """A new module gets a place in it."""
    page = (PROJECT / "docs" / "design.md").read_text(encoding="utf-8")
    modules = {path.name for path in (PROJECT / "tap_kissmetrics").glob("*.py")} - {"__init__.py"}
    assert {module for module in modules if f"`{module}`" not in page} == set()


def test_classes_that_the_documents_name_exist() -> None:
    """In the package, or in the SDK."""
    sources = [path.read_text(encoding="utf-8") for path in (PROJECT / "tap_kissmetrics").rglob("*.py")]
    defined = set(re.findall(r"\b(?:class |import |, )(\w+)", "".join(sources)))
    for page in (PROJECT / "docs").glob("*.md"):
        named = set(re.findall(r"`((?:[A-Z][a-z0-9]+){2,})[`.]", page.read_text(encoding="utf-8")))
        assert named <= defined, page.name


def test_the_diagram_of_the_design_names_modules_that_exist() -> None:
    """And those that a record passes."""
    page = (PROJECT / "docs" / "design.md").read_text(encoding="utf-8")
    (diagram,) = re.findall(r"^```mermaid\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    named = set(re.findall(r"\b\w+\.py\b", diagram))
    assert named - {path.name for path in (PROJECT / "tap_kissmetrics").rglob("*.py")} == set()
    assert {"client.py", "pagination.py", "retry.py", "http.py", "values.py", "writer.py"} <= named
    boxes = set(re.findall(r"^    (\w+)[(\[]", diagram, re.MULTILINE))
    arrows = re.sub(r"-- [\w, ]+ -->", "-->", diagram)
    ends = {end for line in arrows.splitlines() if "-->" in line for end in map(str.strip, line.split("-->"))}
    assert boxes == ends
