import os
import shutil
import subprocess

import pytest


@pytest.fixture(scope="session")
def x_server():
    """A display of our own, so that no window opens on anybody's screen."""
    pytest.importorskip("tkinter", reason="this Python has no tkinter, which the ASE GUI needs")
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("no Xvfb to open windows in (apt install xvfb)")
    read, write = os.pipe()
    # the server chooses a free number, and says it when it is ready
    command = [program, "-displayfd", str(write), "-screen", "0", "1024x768x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()
    if not number:
        server.wait()
        pytest.skip("Xvfb does not start here")
    yield f":{number}"
    server.terminate()
    server.wait()


@pytest.fixture
def display(x_server, monkeypatch):
    monkeypatch.setenv("DISPLAY", x_server)
    return x_server


@pytest.fixture
def opened_by(display):
    """``opened_by(opener, ...)``: the viewer that an opener makes, closed after the test."""
    viewers = []

    def opening(opener, *args, **kwargs):
        viewers.append(opener(*args, **kwargs))
        viewers[-1].window.win.update()
        return viewers[-1]

    yield opening
    for viewer in viewers:
        if viewer.window.exists:
            viewer.exit()
