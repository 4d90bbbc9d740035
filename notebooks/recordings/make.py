"""Record the notebooks again: each runs live on the embedded engine, and its session is saved.

python notebooks/recordings/make.py            # all
python notebooks/recordings/make.py 05         # one
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def make(path: Path) -> None:
    """Run a notebook with ``LIVE = True`` and save its session ``s``."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("LIVE = False", "LIVE = True")
    out = HERE / f"{path.stem}.rtnb"
    notebook.cells.append(nbformat.v4.new_code_cell(f"s.save({str(out)!r})"))
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    print(f"{out.name}: {out.stat().st_size:,} bytes")


for path in sorted(HERE.parent.glob("0[4-9]-*.ipynb")):
    if path.name.startswith(sys.argv[1] if len(sys.argv) > 1 else ""):
        make(path)
