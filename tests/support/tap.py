"""Runs of the tap's command line to their end, in this process unless a test says otherwise."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.in_process import run_in_process
from tests.support.run import environment, settings_for, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.sandbox import Sandbox
    from tests.support.run import Run


def run_tap(
    *arguments: str | Path,
    folder: Path,
    config: object = None,
    env: Mapping[str, str] | None = None,
    runner: Callable[..., Run] = run_in_process,
) -> Run:
    """Run the tap in `folder`, with `config` as its config file, if any, and `env` added to its environment.

    `runner` is `run_in_process` or `run_started`.
    """
    options = [] if config is None else ["--config", write_json(folder / "config.json", config)]
    return runner([str(part) for part in (*options, *arguments)], folder=folder, env=environment(env))


def sync(  # noqa: PLR0913
    sandbox: Sandbox,
    folder: Path,
    *arguments: str | Path,
    catalog: object = None,
    state: object = None,
    env: Mapping[str, str] | None = None,
    runner: Callable[..., Run] = run_in_process,
    **settings: object,
) -> Run:
    """Sync a sandbox's account; `catalog` and `state` are the contents of files."""
    files = {"catalog": catalog, "state": state}
    options = [
        part
        for name, content in files.items()
        if content is not None
        for part in (f"--{name}", write_json(folder / f"given-{name}.json", content))
    ]
    config = settings_for(sandbox, **settings)
    return run_tap(*options, *arguments, folder=folder, config=config, env=env, runner=runner)


def attempt(sandbox: Sandbox, *arguments: str | Path, **options: Any) -> Run:
    """Sync a sandbox's account in a folder that no one looks at."""
    with tempfile.TemporaryDirectory() as folder:
        return sync(sandbox, Path(folder), *arguments, **options)


def sync_here(sandbox: Sandbox, *arguments: str | Path, **options: Any) -> Run:
    """The same, without an error."""
    return attempt(sandbox, *arguments, **options).succeeded()


def catalog_of(folder: Path, config: object = None, /, **streams: dict[str, Any]) -> dict[str, Any]:
    """Discover the catalog, by default of the Core API, and select only `streams`, each with its root metadata."""
    run = run_tap("--discover", folder=folder, config=config)
    catalog: dict[str, Any] = json.loads(run.succeeded().stdout)
    for entry in catalog["streams"]:
        (root,) = [m["metadata"] for m in entry["metadata"] if not m["breadcrumb"]]
        root["selected"] = entry["tap_stream_id"] in streams
        root.update(streams.get(entry["tap_stream_id"], {}))
    return catalog
