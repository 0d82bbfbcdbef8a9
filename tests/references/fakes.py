"""Programs that pretend to be a code: they print recorded output, as a scenario says."""

import sys
from pathlib import Path

RECORDED = Path(__file__).parent / "recorded"


def program(folder, body):
    """Command line of a small Python program with the helpers `show(name)` and `leave(name, text)`."""
    path = Path(folder) / "fake_program.py"
    path.write_text(
        "import os, sys, time\n"
        "from pathlib import Path\n"
        f"RECORDED = Path({str(RECORDED)!r})\n"
        "def show(name):\n    print((RECORDED / name).read_text(), flush=True)\n"
        "def leave(name, text):\n    Path(name).write_text(text)\n" + body + "\n"
    )
    return f"{sys.executable} {path}"
