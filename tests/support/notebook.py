"""Running notebooks as nbclient does, and reading what their cells show."""

import re
from html import unescape

from nbclient import NotebookClient


def played(notebook, folder):
    """Run all cells, and return those with code by their ids."""
    client = NotebookClient(
        notebook, timeout=180, kernel_name="suite", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return {cell["id"]: cell for cell in notebook.cells if cell.cell_type == "code"}


def html(cell):
    return "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs)


def plain(cell):
    """All that a cell printed or showed, as text."""
    parts = [output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "".join(parts)


def words(page):
    return unescape(re.sub(r"<[^>]*>", "", re.sub(r"<style>.*?</style>", "", page)))
