"""The notebooks of docs/notebooks are what their sources say, and one of them says the same when it is run again."""

from pathlib import Path

import nbformat
import pytest

from infra.notebooks import FOLDER, built, executed, texts

SOURCES = sorted(FOLDER.glob("*.py"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_a_notebook_is_built_from_its_source(source: Path) -> None:
    kept, made = nbformat.read(str(source.with_suffix(".ipynb")), 4), built(source)
    assert [(cell.cell_type, cell.source) for cell in kept.cells] == [
        (cell.cell_type, cell.source) for cell in made.cells
    ], "build it again: make notebooks"
    assert all(texts(kept))


def test_a_notebook_says_the_same_when_it_is_run_again() -> None:
    source = FOLDER / "first_model.py"
    assert texts(executed(built(source))) == texts(nbformat.read(str(source.with_suffix(".ipynb")), 4))
