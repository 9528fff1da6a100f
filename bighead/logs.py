"""How every process of the platform writes its log: one set-up, as text for people or as JSON for machines.

Knows Python's logging only. What looks like a secret leaves as ***.
"""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from bighead.config import Settings

_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
"""What every record has; all else was given by who logged, as `extra`."""
_SECRETS = (
    (re.compile(r"(?i)(\bbearer\s+)[^\s'\",;]+"), r"\1***"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@'\"]*):[^\s/@'\"]+@"), r"\1:***@"),
    (re.compile(r"\b(predict|admin):[^\s,:'\"]{16,}"), r"\1:***"),
    (re.compile(r"\b((?:viewer|deployer|admin):[^,:'\"]{1,200}):[^\s,'\"]{16,}"), r"\1:***"),
)


class TextFormat(logging.Formatter):
    """A line for people."""

    def __init__(self) -> None:
        super().__init__(_TEXT)

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


class JsonFormat(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, process, message, what was given as `extra`, exception."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _OWN and value is not None}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(_clean(line), ensure_ascii=False)


def configure(settings: Settings, stream: TextIO | None = None) -> None:
    """Sets logging up for this process, to standard error; what was set up before is replaced."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormat() if settings.log_format == "json" else TextFormat())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for every schema would hide ours


def _clean(value: Any) -> Any:
    """Before it is JSON, whose escapes hide where a secret begins and ends."""
    match value:
        case None | bool() | int() | float():
            return value
        case dict():
            return {_clean(name): _clean(one) for name, one in value.items()}
        case list() | tuple():
            return [_clean(one) for one in value]
        case _:
            return without_secrets(str(value))


def without_secrets(text: str) -> str:
    """A text without bearer tokens, passwords in URLs and what BIGHEAD_TOKENS and BIGHEAD_CONSOLE_TOKENS hold."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text
