"""Bookmarks that compare as instants, and only move forward."""

from __future__ import annotations

import datetime as dt
import email.utils
import re
import typing as t

# `Stream.state_manager`, which is public, is of this type, whose module is private. The SDK compares bookmarks as text,
# which puts "09:00+02:00" after "08:00Z".
from singer_sdk.streams._state import StreamStateManager
from typing_extensions import override

if t.TYPE_CHECKING:
    from singer_sdk.helpers.types import Context, Record, TapState

    from tap_kissmetrics.sdk_extensions.logs import StreamLogger


# Python takes much more for a date-time, such as a Unix time in milliseconds for one of the year 1711.
_begins_with_date: t.Final = re.compile(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}([T ]|$)").match


def parse_instant(value: object) -> dt.datetime | None:
    """Parse a date-time in ISO 8601, in UTC if it has no offset; None for anything else."""
    if not isinstance(value, str) or not _begins_with_date(value):
        return None
    try:
        instant = dt.datetime.fromisoformat(value)
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=dt.UTC)
        return instant.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None


class InstantStateManager(StreamStateManager):
    """The bookmarks of one stream.

    No bookmark passes `sync_start`: a record that changes while its list is read may have been read before it changed.
    """

    def __init__(
        self, *, stream_name: str, tap_state: TapState, tap_name: str, sync_start: dt.datetime, logger: StreamLogger
    ) -> None:
        super().__init__(stream_name=stream_name, tap_state=tap_state, tap_name=tap_name)
        self._sync_start = sync_start
        self._stream_logger = logger
        self._reported: set[str] = set()
        self.hold = False
        """Whether bookmarks stay where they are until `release`: no file holds yet what was read."""
        self._held: list[dict[str, t.Any] | None] = []

    def observe_server_clock(self, date: str | None, elapsed: dt.timedelta) -> None:
        """Allow for a server whose clock is behind, from the `Date` header of a response and the time that it took."""
        try:
            server_time = email.utils.parsedate_to_datetime(date or "")
            self._sync_start = min(self._sync_start, server_time - elapsed)
        except (TypeError, ValueError, OverflowError):
            return  # no usable date: this machine's clock has to do

    def discard_progress(self, context: Context) -> None:
        """Keep the bookmark of a partition that failed where it is."""
        self.get_context_state(context).pop("progress_markers", None)

    @override
    def finalize_state(self, state: dict[str, t.Any] | None = None) -> None:
        if self.hold:
            self._held.append(state)
        else:
            super().finalize_state(state)

    def release(self) -> None:
        """Move the bookmarks that were held: a file holds everything that was read."""
        for state in self._held:
            super().finalize_state(state)
        self._held = []

    @override
    def increment_state(self, latest_record: Record, *, context: Context | None = None, replication_key: str) -> None:
        """Advance the progress marker, which becomes the bookmark at the end of the stream."""
        value = latest_record.get(replication_key)
        instant = parse_instant(value)
        if instant is None:
            self._report("null" if value is None else "not a date-time", replication_key)
            return
        if instant > self._sync_start:
            self._report("in the future", replication_key)
            return
        state = self.get_context_state(context)
        progress = state.setdefault("progress_markers", {})
        for reached in (progress, state):
            if reached.get("replication_key") == replication_key:
                bookmark = parse_instant(reached.get("replication_key_value"))
                if bookmark and bookmark >= instant:
                    return
        progress["replication_key"] = replication_key
        progress["replication_key_value"] = value

    def _report(self, defect: str, replication_key: str) -> None:
        if defect not in self._reported:
            self._reported.add(defect)
            self._stream_logger.info(
                "some records have a %s that is %s: they are always written and do not advance the bookmark",
                replication_key,
                defect,
            )


class NumberStateManager(InstantStateManager):
    """The bookmarks of a stream whose replication key is a number, and which moves them itself."""

    def bookmark(self, context: Context | None) -> int | None:
        """Return the bookmark of a partition, if it has one."""
        return t.cast("int | None", self.get_context_state(context).get("replication_key_value"))

    def advance(self, context: Context | None, replication_key: str, value: int) -> None:
        """Note that everything up to this value was read; it becomes the bookmark when the state is finalized."""
        progress = {"replication_key": replication_key, "replication_key_value": value}
        self.get_context_state(context)["progress_markers"] = progress

    @override
    def discard_progress(self, context: Context) -> None:
        """Keep the progress of a partition that failed later: what comes before it was read whole."""

    @override
    def write_starting_replication_value(self, *args: t.Any, **kwargs: t.Any) -> None:
        """Write none: the SDK would compare the bookmark with `start_date`."""

    @override
    def increment_state(self, latest_record: Record, *, context: Context | None = None, replication_key: str) -> None:
        """Leave the bookmark as it is: a record is not the last one of its number."""
