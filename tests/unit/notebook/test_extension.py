"""`%load_ext bighead` in a real shell, and bars where somebody sees them."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from bighead.pipeline.checks import Finding, Severity

SET = """
import pandas as pd
from bighead.pipeline import TrainingSet, feature
frame = pd.DataFrame({"delay": [1.0], "late": [1]})
rows = TrainingSet(name="flights", rows=frame, inputs=(feature("delay"),), label="late")
"""
BAR = """
from bighead.notebook.progress import progress
with progress("fitting flights", 3, shown_after_s=0) as bar:
    bar.advance(2, "second of three")
"""


@pytest.fixture
def shell() -> Iterator[Any]:
    made: Any = InteractiveShell.instance()
    made.run_line_magic("load_ext", "bighead")
    yield made
    made.run_line_magic("unload_ext", "bighead")
    InteractiveShell.clear_instance()


def test_a_training_set_has_html_and_text(shell: Any) -> None:
    shell.run_cell(SET)
    shown, _ = shell.display_formatter.format(shell.user_ns["rows"])
    assert shown["text/html"].startswith('<div class="bighead">')
    assert shown["text/plain"].startswith("Training set flights: 1 rows, 1 inputs")


def test_a_list_of_what_shows_itself_shows_each_and_other_lists_are_text(shell: Any) -> None:
    shell.run_cell(SET)
    shown, _ = shell.display_formatter.format((shell.user_ns["rows"],) * 2)
    assert shown["text/html"].count('<div class="bighead">') == 2
    assert "text/html" not in shell.display_formatter.format([1, 2])[0]
    assert "text/html" not in shell.display_formatter.format(())[0]


def test_findings_are_one_table(shell: Any) -> None:
    finding = Finding("BH001", Severity.ERROR, ("<b>",), "known too late", "it leaks", "leave it out")
    shown, _ = shell.display_formatter.format((finding, finding))
    assert shown["text/html"].count("<table>") == 1 and shown["text/html"].count("&lt;b&gt;") == 2


def test_an_error_that_was_raised_on_purpose_is_a_sentence(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run_cell(f"{SET}\nrows.only([False])")
    said = capsys.readouterr()
    assert said.err == "ModelError: the training set 'flights' has no rows; check its time range and filters\n"
    assert "Traceback" not in said.out
    shell.run_cell("1 / 0")
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_a_bar_is_seen_in_a_terminal() -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", BAR], stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        try:
            while part := os.read(ours, 4096):
                seen += part
        except OSError:  # the other end is closed
            pass
        assert process.wait() == 0
    os.close(ours)
    assert b"fitting flights" in seen and b"2/3" in seen and b"second of three" in seen


def test_nothing_is_written_where_nobody_looks() -> None:
    done = subprocess.run([sys.executable, "-c", BAR], capture_output=True, check=True)
    assert done.stderr == done.stdout == b""
