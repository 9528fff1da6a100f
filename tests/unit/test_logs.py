"""One set-up of logging: text or JSON, with what was given beside the message, and without secrets."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from bighead import config, logs
from bighead.errors import ConfigError
from bighead.logs import without_secrets


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def written(log_format: str) -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    # basicConfig closes the handlers that it replaces: those of the test runner are set aside.
    logging.getLogger().handlers.clear()
    logs.configure(config.load({"BIGHEAD_LOG_FORMAT": log_format}), stream)
    return logging.getLogger("test.logs"), stream


def test_json_has_one_object_a_line_with_the_extras_and_the_exception() -> None:
    log, stream = written("json")
    log.info("model %r\nswapped", "delay", extra={"request_id": "r-1", "trace_id": None})
    try:
        raise ValueError("broken")
    except ValueError:
        log.exception("failed")
    swapped, failed = map(json.loads, stream.getvalue().splitlines())
    assert swapped.pop("time").endswith("+00:00")
    assert swapped.pop("process") > 0
    expected = {"level": "INFO", "logger": "test.logs", "message": "model 'delay'\nswapped", "request_id": "r-1"}
    assert swapped == expected
    assert "ValueError: broken" in failed["exception"]


def test_text_is_a_line_for_people() -> None:
    log, stream = written("text")
    log.warning("slow", extra={"request_id": "r-1"})
    assert stream.getvalue().endswith(" WARNING test.logs slow\n")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_secrets_never_get_into_a_log(log_format: str) -> None:
    log, stream = written(log_format)
    log.error("redis://user:pass1234@h:1/0 gave up; authorization: Bearer abcd.efgh; predict:0123456789abcdef")
    log.error('sent "authorization: Bearer abcd.efgh" and "predict:0123456789abcdef", to "redis://user:pass1234@h"')
    log.error("a password", extra={"given": {"urls": [ConnectionError("redis://user:pass1234@h")], "retries": 1}})
    lines = "rediss://:pass1234@h\npredict:0123456789abcdef\nBearer abcd.efgh\\ijkl"
    try:
        raise ConnectionError(lines)
    except ConnectionError:
        log.exception("gone")
    text = stream.getvalue()
    for secret in ("pass1234", "abcd.efgh", "ijkl", "0123456789abcdef"):
        assert secret not in text
    if log_format == "json":
        _, quoted, nested, _ = map(json.loads, text.splitlines())
        assert quoted["message"] == 'sent "authorization: Bearer ***" and "predict:***", to "redis://user:***@h"'
        assert nested["given"]["retries"] == 1
    assert without_secrets("http://127.0.0.1:80/a and http://h/b@c") == "http://127.0.0.1:80/a and http://h/b@c"


def test_another_format_is_refused() -> None:
    with pytest.raises(ConfigError, match="BIGHEAD_LOG_FORMAT is 'xml'; expected text or json"):
        config.load({"BIGHEAD_LOG_FORMAT": "xml"})
    with pytest.raises(ConfigError, match="BIGHEAD_LOG_REQUESTS is 'maybe'; expected yes or no"):
        config.load({"BIGHEAD_LOG_REQUESTS": "maybe"})
