"""Builds the notebooks of docs/notebooks from their sources and executes them: `make notebooks`.

A source is a Python file: `# %%` begins a cell, `# %% [markdown]` one of text, `# %% raises` one that ends in an error;
a line `# %name` is IPython's. What differs from run to run (times, ids, paths) is left out, so that a build that
changes nothing leaves no difference in git.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

FOLDER = Path(__file__).parent.parent / "docs" / "notebooks"
TIMEOUT_S = 120


def built(source: Path) -> nbformat.NotebookNode:
    """The notebook of a source, not executed."""
    cells = []
    for place, (head, text) in enumerate(_cells(source.read_text("utf-8"))):
        if head.endswith("[markdown]"):
            words = "\n".join(line.removeprefix("#").removeprefix(" ") for line in text.splitlines())
            cell = nbformat.v4.new_markdown_cell(words)
        else:
            lines = [line[2:] if line.startswith("# %") else line for line in text.splitlines()]
            tags = {"tags": ["raises-exception"]} if head.endswith("raises") else {}
            cell = nbformat.v4.new_code_cell("\n".join(lines), metadata=tags)
        cell["id"] = f"cell-{place}"
        cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    notebook: nbformat.NotebookNode = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    return notebook


def executed(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """With its outputs, by a kernel of its own; raises nbclient's error where a cell fails that may not."""
    files = Config(KernelManager={"transport": "ipc"})  # by TCP anybody on the machine could listen
    client = NotebookClient(notebook, config=files, timeout=TIMEOUT_S, record_timing=False)
    client.execute(env=os.environ | {"OMP_NUM_THREADS": "1"})
    for cell in notebook.cells:
        # A bar that was shown, for the machine was slow, and taken away again leaves an output without anything in it.
        kept = [output for output in cell.get("outputs", ()) if output.get("data", {}).get("text/html") != ""]
        for output in kept:
            output.pop("transient", None)
            if output.output_type == "error":
                output.traceback = []
        if "outputs" in cell:
            cell.outputs = kept
    notebook.metadata.language_info = {"name": "python"}
    return notebook


def texts(notebook: nbformat.NotebookNode) -> list[str]:
    """All that its cells said, as text."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            found.append(output.get("text") or output.get("data", {}).get("text/plain") or output.get("evalue", ""))
    return found


def _cells(text: str) -> Iterator[tuple[str, str]]:
    for part in f"\n{text}".split("\n# %%")[1:]:
        head, _, body = part.partition("\n")
        yield head.strip(), body.strip("\n")


def main() -> None:
    """Builds those that are named, all if none is."""
    for source in sorted(FOLDER.glob("*.py")):
        if len(sys.argv) == 1 or source.stem in sys.argv[1:]:
            nbformat.write(executed(built(source)), source.with_suffix(".ipynb"))
            print(source.with_suffix(".ipynb"))


if __name__ == "__main__":
    main()
