"""What a check says: its stable code, how bad it is, what was seen, why it matters and what to do. Pure."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bighead.pipeline.checks.inspected import Inspected


class Severity(StrEnum):
    """ERROR stops training unless it is silenced with a reason, WARNING and NOTE are said."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Seen:
    """What one check saw once. severity: where it is not that of the check."""

    what: str
    columns: tuple[str, ...] = ()
    severity: Severity | None = None


@dataclass(frozen=True)
class Check:
    """One check: `look` yields what it sees in a split. Its docstring says how; `why` and `fix`, what follows."""

    code: str
    title: str
    severity: Severity
    why: str
    fix: str
    look: Callable[["Inspected"], Iterator[Seen]]


def rule(
    code: str, title: str, severity: Severity, *, why: str, fix: str
) -> Callable[[Callable[["Inspected"], Iterator[Seen]]], Check]:
    """Makes a check of a function."""
    return lambda look: Check(code, title, severity, why, fix, look)


@dataclass(frozen=True)
class Finding:
    """What a check found. columns: those that it is about. silenced: the reason for which it is let pass, or empty."""

    code: str
    severity: Severity
    columns: tuple[str, ...]
    what: str
    why: str
    fix: str
    silenced: str = ""

    @property
    def stops(self) -> bool:
        """Whether nothing is trained while this stands."""
        return self.severity is Severity.ERROR and not self.silenced

    @property
    def silence_key(self) -> str:
        """What names this very finding in `silence`."""
        return f"{self.code}:{self.columns[0]}" if self.columns else self.code

    @property
    def text(self) -> str:
        """One block for a terminal, a log or an exception."""
        said = f"silenced: {self.silenced}" if self.silenced else f'silence={{"{self.silence_key}": "the reason"}}'
        about = f"{', '.join(self.columns)}: " if self.columns else ""
        return f"{self.code} {self.severity}  {about}{self.what}\n  why: {self.why}\n  fix: {self.fix}\n  {said}"

    def to_json(self) -> dict[str, Any]:
        """As a record or an event of a run holds it."""
        return {
            "code": self.code,
            "severity": str(self.severity),
            "columns": list(self.columns),
            "what": self.what,
            "why": self.why,
            "fix": self.fix,
            "silenced": self.silenced,
        }


def as_text(findings: Iterable[Finding]) -> str:
    """All findings, a block each; a sentence where there is none."""
    return "\n\n".join(one.text for one in findings) or "no check found anything"


def as_html(findings: Iterable[Finding]) -> str:
    """A fragment with a row for each finding; everything that came with the data is escaped."""
    rows = "".join(_row(one) for one in findings)
    if not rows:
        return "<p>no check found anything</p>"
    head = "".join(f'<th scope="col">{name}</th>' for name in ("code", "severity", "columns", "what", "why", "fix"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _row(one: Finding) -> str:
    severity = f"silenced: {one.silenced}" if one.silenced else str(one.severity)
    cells = (one.code, severity, ", ".join(one.columns), one.what, one.why, one.fix)
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
