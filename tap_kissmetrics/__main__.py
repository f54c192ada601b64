"""The command line, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import gc
import logging
import re
import signal
import sys
import typing as t

# Until the tap installs its own handler, Ctrl-C ends the process without a traceback.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import click
from singer_sdk.exceptions import SingerSDKError

from tap_kissmetrics.sdk_extensions.inputs import normalize_log_level
from tap_kissmetrics.sdk_extensions.logs import truncate
from tap_kissmetrics.sdk_extensions.waiting import ShutdownRequested
from tap_kissmetrics.sdk_extensions.writer import abandon_stdout
from tap_kissmetrics.tap import TapKissmetrics


def main() -> None:
    """Run the tap, and exit.

    An error that the user can act on is one line on stderr and exit code 1, or 2 for an unknown option. SIGINT,
    SIGTERM and SIGHUP give 128 plus their number.
    """
    logger = TapKissmetrics.logger
    # Imported objects stay, and records form no cycles: collecting them again and again frees nothing.
    gc.freeze()
    gc.set_threshold(50_000)
    if t.cast("t.TextIO | None", sys.stdout) is None:
        logger.error("the output cannot be written: it is closed")
        sys.exit(1)
    code: t.Any = 1
    try:
        normalize_log_level(TapKissmetrics.env_prefix())
        code = TapKissmetrics.cli(standalone_mode=False)
    except ShutdownRequested as shutdown:
        logger.warning("Stopped by %s", signal.Signals(shutdown.signum).name)
        code = shutdown.code
    except click.ClickException as error:
        # A stray argument may be a token.
        logger.error("%s", re.sub(r"(?s)(unexpected extra arguments?) \(.*", r"\1", error.format_message()))  # noqa: TRY400
        code = error.exit_code
    except SingerSDKError as error:
        logger.error("%s", error)  # noqa: TRY400
    except MemoryError:
        logger.error("out of memory; lower page_size and max_concurrency")  # noqa: TRY400
    except OSError as error:  # the SDK prints what is no message, such as a catalog
        abandon_stdout()
        logger.error("the output cannot be written: %s", error.strerror)  # noqa: TRY400
    except Exception as error:  # the traceback that Python prints could show a secret
        trace = error if logger.isEnabledFor(logging.DEBUG) else None
        described = f"{type(error).__name__}: {truncate(str(error))}"
        logger.error("a bug of the tap; please report it, with LOGLEVEL=DEBUG: %s", described, exc_info=trace)  # noqa: TRY400
    sys.exit(code)


if __name__ == "__main__":
    main()
