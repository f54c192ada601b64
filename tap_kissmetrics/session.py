"""The HTTP session: where requests may go, how many at once, and at what pace."""

from __future__ import annotations

import re
import threading
import typing as t
from concurrent.futures import Future, wait
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from typing_extensions import override

from tap_kissmetrics.logs import SECRETS
from tap_kissmetrics.pace import Pace
from tap_kissmetrics.transport import BUFFER, POOLS

if t.TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Iterator

    Answer: t.TypeAlias = Future[requests.Response]


_LOGIN: t.Final = re.compile("//(.*)@")
"""User and password in the address of a proxy, which may be too wrong to be taken apart."""

SLICE: t.Final = 0.5
"""Seconds that the main thread waits at a time for another one."""


class _Response(requests.Response):
    """An answer that is read in large pieces: between two of the usual 10 KiB, threads wait for each other."""

    @override
    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[t.Any]:
        return super().iter_content(BUFFER, decode_unicode)


class _Adapter(HTTPAdapter):
    """Sends at the pace that was set, over connections that are bounded, past no proxy but those of its root."""

    def __init__(self, root: str, pace: Pace | None, max_concurrency: int) -> None:
        self._pace = pace
        with requests.Session() as environment:
            # Plain HTTP is for this machine only, and never goes through a proxy.
            environment.trust_env = urlsplit(root).scheme != "http"
            self._found = environment.merge_environment_settings(root, {}, None, None, None)
        logins = [found[1] for proxy in self._found["proxies"].values() if (found := _LOGIN.search(proxy))]
        SECRETS.add(part for login in logins for part in (login, *re.split("[:/?#]", login)[1:]))
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
    def build_response(self, *args: t.Any, **kwargs: t.Any) -> requests.Response:
        response = super().build_response(*args, **kwargs)
        response.__class__ = _Response
        return response

    @override
    def send(self, request: requests.PreparedRequest, *args: t.Any, **kwargs: t.Any) -> requests.Response:
        if self._pace and request.method != "DELETE":  # a cancellation does not wait
            self._pace.wait()
        kwargs |= {name: self._found[name] for name in ("cert", "proxies", "verify")}
        return super().send(request, *args, **kwargs)


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
        self.trust_env = False  # each adapter knows what the environment says of its root
        self.max_concurrency = max_concurrency
        self._slots = threading.Semaphore(max_concurrency)
        self._ahead: dict[str | None, Answer] = {}

    @override
    def send(self, request: requests.PreparedRequest, **kwargs: t.Any) -> requests.Response:
        """Send a request, or give the answer to one that was sent ahead."""
        if future := self._ahead.pop(request.url, None):
            # Not in one go: a signal that comes just as the wait begins is handled only when the wait ends.
            while not future.done():
                wait([future], SLICE)
            return future.result()
        self._ahead = {url: future for url, future in self._ahead.items() if not _failed(future)}
        while not self._slots.acquire(timeout=SLICE):
            pass
        try:
            return super().send(request, **kwargs)
        finally:
            self._slots.release()

    @property
    def ahead(self) -> int:
        """How many requests were sent ahead whose answers nobody asked for yet."""
        return len(self._ahead)

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
            elif healthy and self.max_concurrency > 1:
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


def make_session(
    roots: Iterable[str], *, max_concurrency: int, requests_per_minute: int | None, logger: logging.Logger
) -> Session:
    """Open the session that all streams share.

    Args:
        roots: Root directories, the only ones that anything is sent to. For each, proxies
            and certificates are taken from the environment.
        max_concurrency: The most requests that are under way at once.
        requests_per_minute: The pace not to exceed; requests then follow each other.
        logger: Takes a line on each long wait for the pace.

    Returns:
        The session.
    """
    pace = Pace(requests_per_minute, logger) if requests_per_minute else None
    session = Session(1 if pace else max_concurrency)
    # The only adapters: a request to any other place cannot even be sent.
    session.adapters.clear()
    for root in roots:
        session.mount(f"{root}/", _Adapter(root, pace, max_concurrency))
    return session
