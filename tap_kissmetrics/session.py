"""The HTTP session: where requests may go, how many at once, and at what pace."""

from __future__ import annotations

import threading
import typing as t
from concurrent.futures import Future
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from typing_extensions import override

from tap_kissmetrics.transport import POOLS

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from pyrate_limiter import Limiter

    Answer: t.TypeAlias = Future[requests.Response]


class _Adapter(HTTPAdapter):
    """Sends at the pace that was set, over connections that are bounded."""

    def __init__(self, limiter: Limiter | None, *, max_concurrency: int) -> None:
        self._limiter = limiter
        super().__init__(pool_maxsize=max_concurrency)

    @override
    def init_poolmanager(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS

    @override
    def proxy_manager_for(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = POOLS
        return manager

    @override
    def send(self, *args: t.Any, **kwargs: t.Any) -> requests.Response:
        if self._limiter:
            self._limiter.try_acquire()
        return super().send(*args, **kwargs)


class Session(requests.Session):
    """Sends requests to one API, some of them ahead of time.

    Attributes:
        max_concurrency: The most requests that are under way at once.
    """

    def __init__(self, max_concurrency: int) -> None:
        """Open a session.

        Args:
            max_concurrency: The most requests that are under way at once; 1 sends none ahead.
        """
        super().__init__()
        self.max_concurrency = max_concurrency
        self._slots = threading.Semaphore(max_concurrency)
        self._ahead: dict[str | None, Answer] = {}

    @override
    def send(self, request: requests.PreparedRequest, **kwargs: t.Any) -> requests.Response:
        """Send a request, or give the answer to one that was sent ahead."""
        if future := self._ahead.pop(request.url, None):
            return future.result()
        self._ahead = {url: future for url, future in self._ahead.items() if not _failed(future)}
        with self._slots:
            return super().send(request, **kwargs)

    def send_ahead(self, upcoming: Iterable[requests.PreparedRequest], **options: object) -> None:
        """Begin to send what will be asked for next; what else was sent ahead is forgotten.

        Once one of them has failed, no other is begun before that one was asked for.

        Args:
            upcoming: GET requests, at most `max_concurrency`.
            options: As for `send`.
        """
        before, self._ahead = self._ahead, {}
        healthy = not any(map(_failed, before.values()))
        for request in upcoming:
            if under_way := before.pop(request.url, None):
                self._ahead[request.url] = under_way
            elif healthy:
                self._ahead[request.url] = self._begin(request, options)
        for future in before.values():
            future.cancel()

    def give_way(self) -> None:
        """Send nothing ahead any more."""
        self.max_concurrency = 1

    def _begin(self, request: requests.PreparedRequest, options: dict[str, t.Any]) -> Answer:
        future: Answer = Future()

        def fetch() -> None:
            with self._slots:
                if not future.set_running_or_notify_cancel():
                    return
                try:
                    future.set_result(super(Session, self).send(request, **options))
                except Exception as error:  # noqa: BLE001  # whoever asks for the answer gets it
                    future.set_exception(error)

        # A pool of threads would be waited for at the exit; the tap ends at once when it is stopped.
        threading.Thread(target=fetch, name=f"ahead {request.path_url}", daemon=True).start()
        return future

    @override
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Name no target: a redirect is never followed, so never looked at."""


def _failed(future: Answer) -> bool:
    return future.done() and (future.exception() is not None or not future.result().ok)


def make_session(api_url: str, *, max_concurrency: int, requests_per_minute: int | None) -> Session:
    """Open the session that all streams share.

    Args:
        api_url: Root of the API. Proxies and certificates are taken from the
            environment for this URL; plain HTTP, which is for this machine only,
            never goes through a proxy.
        max_concurrency: The most requests that are under way at once.
        requests_per_minute: The pace not to exceed; requests then follow each other.

    Returns:
        The session.
    """
    session = Session(1 if requests_per_minute else max_concurrency)
    if urlsplit(api_url).scheme == "http":
        session.trust_env = False
    found = session.merge_environment_settings(api_url, {}, None, None, None)
    session.proxies = found["proxies"]
    session.verify = found["verify"]
    # The only adapter: a request to any other place cannot even be sent.
    session.adapters.clear()
    session.mount(f"{api_url}/", _Adapter(_pace(requests_per_minute), max_concurrency=max_concurrency))
    return session


def _pace(requests_per_minute: int | None) -> Limiter | None:
    if not requests_per_minute:
        return None
    # Here, for it costs as much to import as all the rest of the tap.
    from pyrate_limiter import Duration, Limiter, Rate  # noqa: PLC0415

    # A second more than a minute: the server counts when a request arrives.
    return Limiter(Rate(requests_per_minute, Duration.MINUTE + Duration.SECOND))
