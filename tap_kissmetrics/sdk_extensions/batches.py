"""Write the records of a stream to batch files."""

from __future__ import annotations

import typing as t

from singer_sdk.batch import Batcher
from singer_sdk.exceptions import SingerSDKError

from tap_kissmetrics.sdk_extensions.inputs import InputError
from tap_kissmetrics.sdk_extensions.logs import describe_cause, is_disk_full
from tap_kissmetrics.sdk_extensions.writer import OutputError

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk.helpers._batch import BatchConfig

    from tap_kissmetrics.sdk_extensions.records import Record


def write_batches(
    records: Iterator[Record], batch_config: BatchConfig, *, tap_name: str, stream_name: str
) -> Iterator[list[str]]:
    """Write records to files, and yield the names of the files of each batch.

    Raises `InputError` for a format that needs a package that is not installed, and `OutputError` for a file that
    cannot be written.
    """
    batcher = Batcher(tap_name=tap_name, stream_name=stream_name, batch_config=batch_config)
    try:
        yield from batcher.get_batches(records=records)
    except ImportError as error:
        msg = f"batch_config: {error}"
        raise InputError(msg) from error
    except SingerSDKError:  # of the records
        raise
    except Exception as error:  # of the file system, which may be of any library
        msg = f"batch_config: {'no space left on the disk' if is_disk_full(error) else describe_cause(error)}"
        raise OutputError(msg) from error
