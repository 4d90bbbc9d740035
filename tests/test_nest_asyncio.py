"""Snippets that call ``asyncio.run`` in a cell, as copied from anywhere, work while a session is open."""

import nbformat
import pytest
from nbclient import NotebookClient
from support.notebook import plain

pytestmark = pytest.mark.slow

CELLS = [
    "import asyncio, rtnb\ns = rtnb.connect(engine='fake')\nbefore = s.send('before').wait()",
    "try:\n    asyncio.run(asyncio.sleep(0))\nexcept RuntimeError as error:\n    print(error)",
    "import nest_asyncio2\nnest_asyncio2.apply()",
    # The snippet: it knows nothing of the notebook's loop.
    """async def main():
    await asyncio.sleep(0.05)
    inner = await asyncio.gather(*(asyncio.sleep(0.01, k) for k in range(3)))
    return inner

turn = s.send('Tell me a long story.')
print(asyncio.run(main()))
print(turn.wait().status, bool(turn.text), turn.audio.seconds > 1)""",
    # Within it a session is used as anywhere: sent, awaited, iterated.
    """async def ask():
    turn = await s.send('hello')
    deltas = [delta async for delta in s.send('again')]
    return turn.status, len(deltas) > 0

print(asyncio.run(ask()))""",
    "print((await s.send('after')).status, s.problem, len(s.turns))\ns.close()",
]


def test_copied_snippets_run_beside_a_session(kernel):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    NotebookClient(notebook, timeout=120, kernel_name="suite").execute()
    told = [plain(cell).strip() for cell in notebook.cells]
    assert "cannot be called from a running event loop" in told[1]  # so it is without nest-asyncio
    assert told[3] == "[0, 1, 2]\ncompleted True True"
    assert told[4] == "('completed', True)"
    assert told[5] == "completed None 5"
