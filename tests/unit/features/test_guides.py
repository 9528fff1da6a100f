"""The examples of the guides run and give what they show; their tables are those of the code."""

import doctest
import re
from pathlib import Path
from typing import Any

import pytest

from bighead.compile.verdicts import Engine, states, table
from bighead.features.operations import Op

DOCS = Path(__file__).resolve().parents[3] / "docs"
BLOCK = re.compile(r"^```(python|pycon)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("guide", ["features.md", "comparison.md"])
def test_every_example_of_a_guide_gives_what_it_shows(guide: str) -> None:
    text = (DOCS / guide).read_text()
    known: dict[str, Any] = {"__name__": guide}
    blocks = list(BLOCK.finditer(text))
    assert blocks
    for block in blocks:
        kind, source = block.groups()
        line = text.count("\n", 0, block.start(2))
        if kind == "python":
            exec(compile("\n" * line + source, guide, "exec"), known)
            continue
        example = doctest.DocTestParser().get_doctest(source, known, guide, guide, line)
        said: list[str] = []
        failed = doctest.DocTestRunner().run(example, out=said.append, clear_globs=False).failed
        known |= example.globs
        assert not failed, "".join(said)


def test_the_tables_of_the_guide_are_those_of_the_code() -> None:
    text = (DOCS / "features.md").read_text()
    assert table() in text, "run `python infra/codegen.py`"
    assert states() in text, "run `python infra/codegen.py`"


def test_the_table_has_a_verdict_of_every_engine_on_every_operation() -> None:
    heading, _, *rows = table().splitlines()
    assert [cell.strip() for cell in heading.split("|")][-len(Engine) - 1 : -1] == [str(engine) for engine in Engine]
    assert len(rows) == len(Op)
    for op, row in zip(Op, rows, strict=True):
        cells = [cell.strip() for cell in row.split("|")][1:-1]
        assert cells[0].startswith(f"**{op}**")
        assert all(re.fullmatch(r"works|refused( for .+)?: .+", cell) for cell in cells[-len(Engine) :]), row
