"""The options of the command line: `--config`, `--test` and those of a sync."""

from __future__ import annotations

import abc
import typing as t

import click
from singer_sdk import Tap, metrics
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from tap_kissmetrics.config import read_json_file, read_json_stream
from tap_kissmetrics.errors import SettingsError

if t.TYPE_CHECKING:
    from tap_kissmetrics.checks import Settings


class CommandLineTap(Tap):
    """A tap whose files are checked as they are read, and whose `--test` says how it ended."""

    @abc.abstractmethod
    def run(self) -> None:
        """Sync every selected stream."""

    @classmethod
    @override
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> t.Any:
        """Read the config files; without any, the environment is read."""
        parsed = super().cb_config(ctx, param, ())
        parsed.parse_env = not value or "ENV" in value
        for path in value:
            if path.lstrip().startswith(("{", "[")):
                msg = "--config takes the path of a file, not its content (it is not shown)"
                raise SettingsError(msg)
            if path != "ENV":
                parsed.config |= read_json_file(path, f"config file {path or 'without a name'}")
        return parsed

    @classmethod
    @override
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        """Read the first record of each stream."""
        reads = value == CliTestOptionValue.All.value
        if reads:
            # They call a stream "failed" that ends after one record.
            metrics.get_metrics_logger().addFilter(metrics.MetricExclusionFilter(types=("counter", "timer")))
        try:
            super().cb_test(ctx, param, value)
        except click.exceptions.Exit:
            if reads:
                cls.logger.info("The test is passed: each stream can be read")
            raise

    @classmethod
    @override
    def invoke(  # type: ignore[override]  # as the SDK's own Tap does
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: t.Any = None,
        state: t.IO[str] | None = None,
        catalog: t.IO[str] | None = None,
    ) -> None:
        if about:
            super().invoke(about=about, about_format=about_format)
        cls.print_version(print_fn=cls.logger.info)
        tap = cls(
            config=config.config,
            parse_env_config=config.parse_env,
            state=_read(state, "state"),
            catalog=_read(catalog, "catalog"),
        )
        tap.run()


def _read(file: t.IO[str] | None, kind: str) -> Settings | None:
    return read_json_stream(file, f"{kind} file {file.name}") if file else None
