"""The command line; the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys

# Until the tap has its own handler, Ctrl-C ends the process without a traceback.
signal.signal(signal.SIGINT, signal.SIG_DFL)

import click  # noqa: E402
from singer_sdk.exceptions import SingerSDKError  # noqa: E402

from tap_kissmetrics.errors import StoppedError  # noqa: E402
from tap_kissmetrics.output import abandon_stdout  # noqa: E402
from tap_kissmetrics.stopping import desist  # noqa: E402
from tap_kissmetrics.tap import TapKissmetrics  # noqa: E402


def main() -> None:
    """Run the tap.

    An error that the user can act on is one line on stderr and exit code 1 (2 for an
    unknown option); SIGINT and SIGTERM give 130 and 143.
    """
    logger = TapKissmetrics.logger
    # What was imported stays, and records hold no cycles: looking through them all again and again finds nothing.
    gc.freeze()
    gc.set_threshold(50_000)
    try:
        _check_log_level()
        code = TapKissmetrics.cli(standalone_mode=False)
    except StoppedError as stop:
        logger.warning("Stopped by %s", signal.Signals(stop.number).name)
        code = stop.code
    except click.ClickException as error:
        logger.error("%s", error.format_message())  # noqa: TRY400
        code = error.exit_code
    except SingerSDKError as error:
        logger.error("%s", error)  # noqa: TRY400
        code = 1
    except OSError as error:  # what is no message, such as a catalog, is printed by the SDK
        abandon_stdout()
        logger.error("the output cannot be written: %s", error.strerror)  # noqa: TRY400
        code = 1
    finally:
        desist()
    sys.exit(code)


def _check_log_level() -> None:
    levels = logging.getLevelNamesMapping()
    for variable in ("TAP_KISSMETRICS_LOGLEVEL", "LOGLEVEL"):
        level = os.environ.get(variable)
        if level and level.upper() not in levels:
            msg = f"{variable} must be one of {', '.join(levels)}, not {level!r}"
            raise click.UsageError(msg)


if __name__ == "__main__":
    main()
