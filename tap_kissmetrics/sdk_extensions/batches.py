"""Write the records of a stream to batch files."""

from __future__ import annotations

import typing as t

from singer_sdk.batch import Batcher

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
    encoding = batch_config.encoding
    if encoding.format == "jsonl" and not encoding.compression:
        encoding.compression = "gzip"  # which the SDK does, and a target has to know
    own: list[BaseException] = []

    def read() -> Iterator[Record]:
        try:
            yield from records
        except BaseException as error:
            own.append(error)
            raise

    batcher = Batcher(tap_name=tap_name, stream_name=stream_name, batch_config=batch_config)
    try:
        yield from batcher.get_batches(records=read())
    except ImportError as error:
        msg = f"batch_config: {error}"
        raise InputError(msg) from error
    except Exception as error:  # of any library that writes to a storage
        if error in own:
            raise
        msg = f"batch_config: {'no space left on the disk' if is_disk_full(error) else describe_cause(error)}"
        raise OutputError(msg) from error
