"""The errors a user can meet, each of which is shown as one line."""

from __future__ import annotations

from singer_sdk.exceptions import (
    ConfigurationError,
    FatalAPIError,
    RetriableAPIError,
    SingerSDKError,
)


class SettingsError(ConfigurationError):
    """A setting, or a file given on the command line, is wrong."""


class AuthenticationError(FatalAPIError):
    """The API does not know the token: no stream can be read."""


class NotFoundError(FatalAPIError):
    """The API has nothing there, or not any more."""


class RateLimitError(RetriableAPIError):
    """The API asks for a pause.

    Attributes:
        pause: Seconds that the server asked for; None when it did not say.
    """

    pause: float | None = None


class OutputError(SingerSDKError):
    """Nothing more can be written: the reader is gone, or the disk is full."""


class StreamError(SingerSDKError):
    """One stream could not be read to its end.

    Attributes:
        stream: Name of the stream.
    """

    def __init__(self, stream: str, problem: object) -> None:
        """Name the stream and what went wrong with it."""
        super().__init__(f"{stream}: {problem}")
        self.stream = stream


class StoppedError(SystemExit):
    """A signal ended the run.

    Attributes:
        number: The signal.
        code: The exit code, as a shell has it.
    """

    def __init__(self, number: int) -> None:
        """Name the signal."""
        super().__init__(128 + number)
        self.number = number


class SyncError(SingerSDKError):
    """Some of the selected streams failed; the others are complete."""
