"""Bookmarks that go by instant, and only forward."""

from __future__ import annotations

import datetime as dt
import email.utils
import typing as t

# Stream.state_manager, which is public, is of this type. The SDK compares bookmarks as
# text, which puts "09:00+02:00" after "08:00Z"; the test of this module fails when the
# SDK changes what is overridden here.
from singer_sdk.streams._state import StreamStateManager
from typing_extensions import override

if t.TYPE_CHECKING:
    from singer_sdk.helpers.types import Context, Record, TapState

    from tap_kissmetrics.logs import StreamLogger


def parse_instant(value: object) -> dt.datetime | None:
    """Read a date-time.

    Args:
        value: Text in ISO 8601. Without an offset it is taken as UTC.

    Returns:
        The instant, in UTC; None if the value is no date-time.
    """
    if not isinstance(value, str):
        return None
    try:
        instant = dt.datetime.fromisoformat(value)
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=dt.UTC)
        return instant.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None


class Bookmarks(StreamStateManager):
    """The bookmarks of one stream."""

    def __init__(
        self,
        *,
        stream_name: str,
        tap_state: TapState,
        tap_name: str,
        sync_start: dt.datetime,
        logger: StreamLogger,
    ) -> None:
        """Prepare for a sync.

        Args:
            stream_name: Name of the stream.
            tap_state: State of the tap, which is changed.
            tap_name: Name of the tap.
            sync_start: When this sync began. No bookmark goes past it: what changes
                while the list is read may have been read before it changed.
            logger: Takes the warnings.
        """
        super().__init__(stream_name=stream_name, tap_state=tap_state, tap_name=tap_name)
        self._sync_start = sync_start
        self._log = logger
        self._reported: set[str] = set()
        self.is_held = False
        """Whether no bookmark moves yet: records were read, and are not yet in a file that a message names."""

    @override
    def finalize_state(self, state: dict[str, t.Any] | None = None) -> None:
        if not self.is_held:
            super().finalize_state(state)

    def read_at(self, date: str | None, elapsed: dt.timedelta) -> None:
        """Take the server's clock into account, which may be behind this machine's.

        Args:
            date: The `Date` header of an answer.
            elapsed: How long the answer took: what it shows was read since then.
        """
        try:
            server_time = email.utils.parsedate_to_datetime(date or "")
            self._sync_start = min(self._sync_start, server_time - elapsed)
        except (TypeError, ValueError, OverflowError):
            return  # without a clock of the server, this machine's has to do

    @override
    def increment_state(
        self,
        latest_record: Record,
        *,
        context: Context | None = None,
        replication_key: str,
    ) -> None:
        """Note how far a record goes; the end of the stream makes it the bookmark.

        Args:
            latest_record: A record that was emitted.
            context: The partition.
            replication_key: The column to go by.
        """
        value = latest_record.get(replication_key)
        instant = parse_instant(value)
        if instant is None:
            self._report("null" if value is None else "no date-time", replication_key)
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

    def _report(self, problem: str, replication_key: str) -> None:
        if problem not in self._reported:
            self._reported.add(problem)
            self._log.info(
                "some records have a %s that is %s: they are always written, and do not move the bookmark",
                replication_key,
                problem,
            )
