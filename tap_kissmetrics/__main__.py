"""The command line; the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import gc
import re
import signal
import sys
import typing as t

# Until the tap has its own handler, Ctrl-C ends the process without a traceback.
signal.signal(signal.SIGINT, signal.SIG_DFL)

import click  # noqa: E402
from singer_sdk.exceptions import SingerSDKError  # noqa: E402

from tap_kissmetrics.config import check_log_level  # noqa: E402
from tap_kissmetrics.errors import OutputError, StoppedError  # noqa: E402
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
        if t.cast("t.TextIO | None", sys.stdout) is None:
            msg = "the output cannot be written: it is closed"
            raise OutputError(msg)
        check_log_level()
        code = TapKissmetrics.cli(standalone_mode=False)
    except StoppedError as stop:
        logger.warning("Stopped by %s", signal.Signals(stop.number).name)
        code = stop.code
    except click.ClickException as error:
        # A stray argument may be a token.
        logger.error("%s", re.sub(r"(?s)(unexpected extra arguments?) \(.*", r"\1", error.format_message()))  # noqa: TRY400
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


if __name__ == "__main__":
    main()
