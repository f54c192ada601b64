"""A secret is hidden in whatever form it comes; a line of the log has an end."""

from __future__ import annotations

import base64
import html
import json
import logging
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_kissmetrics.sdk_extensions import logs
from tap_kissmetrics.sdk_extensions.http import logins_in_environment
from tap_kissmetrics.sdk_extensions.logs import MAX_LINE_LENGTH, REDACTED, Redactor, shorten, truncate
from tests.support.examples import examples

if TYPE_CHECKING:
    from collections.abc import Callable

PLAIN = "plain-secret-0123456789"

FORMS: dict[str, Callable[[str], str]] = {
    "itself": str,
    "upper case": str.upper,
    "lower case": str.lower,
    "%XX": lambda secret: quote(secret, safe=""),
    "%xx": lambda secret: quote(secret, safe="").lower(),
    "a query string": quote_plus,
    "JSON": lambda secret: json.dumps(secret)[1:-1],
    "JSON, not ASCII": lambda secret: json.dumps(secret, ensure_ascii=False)[1:-1],
    "JSON with escaped slashes": lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    "HTML": html.escape,
    "repr": lambda secret: repr(secret)[1:-1],
    "repr beside a quote": lambda secret: repr(f"'{secret}")[1:-1].removeprefix("\\").removeprefix("'"),
    "repr beside a double quote": lambda secret: repr(f'"{secret}')[2:-1],
    "repr beside both quotes": lambda secret: repr(f"'\"{secret}")[4:-1],
    "Base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "Base64 without its end": lambda secret: base64.b64encode(secret.encode()).decode().rstrip("="),
    "Base64 for a URL": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "Base64 for a URL, without its end": lambda s: base64.urlsafe_b64encode(s.encode()).decode().rstrip("="),
    "HTML, signs by number": lambda secret: "".join(c if c.isalnum() else f"&#{ord(c)};" for c in secret),
}


def redactor_of(*secrets: str) -> Redactor:
    """Make a redactor that knows these secrets."""
    redactor = Redactor()
    redactor.add(secrets)
    return redactor


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", ["back\\slash'quo\"tes-0123", "per%cent/slash+secret=1", "<ünïcode>&amp-0123"])
def test_nothing_but_the_secret_is_hidden(secret: str, form: str) -> None:
    """In the middle of foreign text."""
    text = f'echo: "{FORMS[form](secret)}" (from the server)'
    assert redactor_of(secret).redact(text) == f'echo: "{REDACTED}" (from the server)'


@examples(40)
@given(st.text(min_size=12, max_size=30).filter(str.strip), st.sampled_from(sorted(FORMS)))
def test_any_secret_is_hidden(secret: str, form: str) -> None:
    """Whatever characters it has."""
    redactor = Redactor()
    redactor.add([secret])
    shown = FORMS[form](secret)
    if form in {"upper case", "lower case"} and shown.lower() != secret.lower():
        return  # case mappings of Unicode that change the text
    assert shown not in redactor.redact(f"a {shown} b")


def test_only_white_space_is_no_secret() -> None:
    """It would be everywhere."""
    assert redactor_of("", " ", " \n").redact("- - \n -") == "- - \n -"


def test_a_secret_with_blanks_is_hidden_before_they_are_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    """And before what cannot be printed is dropped."""
    monkeypatch.setattr(logs, "REDACTOR", redactor_of("two  blanks\tand a tab", "a\x07bell-0123"))
    assert truncate("it's two  blanks\tand a tab,  and a\x07bell-0123") == f"it's {REDACTED}, and {REDACTED}"


def test_what_is_cut_shows_no_part_of_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the cut is."""
    monkeypatch.setattr(logs, "REDACTOR", redactor_of(PLAIN))
    for position in range(40):
        text = f"{'x' * position}{PLAIN}{'y' * 200}"
        for shown in (truncate(f"{'z' * 170}{text}"), shorten(text, 60), shorten(text[::-1], 60)):
            assert "secret" not in shown
            assert "plain" not in shown


@pytest.mark.parametrize("variable", ["https_proxy", "AWS_ENDPOINT_URL"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_login_in_the_environment_is_a_secret(scheme: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is written there, and as it is sent."""
    monkeypatch.setenv(variable, f"{scheme}joe:a%20secret%2Bof%20joe@proxy:1")
    assert {"a%20secret%2Bof%20joe", "a secret+of joe", "joe:a secret+of joe"} <= set(logins_in_environment())


def test_an_everyday_word_is_hidden_in_foreign_text_alone() -> None:
    """And as a whole word."""
    redactor = redactor_of("wrong", "t", "12")
    assert redactor.redact("api_token is wrong", is_own=True) == "api_token is wrong"
    assert redactor.redact("you sent wrong") == f"you sent {REDACTED}"
    assert redactor.redact("wrongly") == "wrongly"
    assert redactor.redact("do 74, 3132 and t") == f"do 74, 3132 and {REDACTED}"


def test_no_line_grows_without_bound() -> None:
    record = logging.LogRecord("other", logging.INFO, "x.py", 1, "%s", ("x" * 395_000,), None)
    Redactor().redact_record(record, "tap-kissmetrics")
    message = record.getMessage()
    assert len(message) < MAX_LINE_LENGTH + 50
    assert message.endswith("... (395,000 characters)")
