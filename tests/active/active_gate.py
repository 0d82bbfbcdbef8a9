"""A reference that waits at one call until a file says go on."""

import time
from pathlib import Path

from active_toy import Witness


class Gated(Witness):
    """A `Witness` whose call number `wait_at` makes the file `blocked` and waits for the file `gate`."""

    def __init__(self, gate, blocked, wait_at, **keywords):
        super().__init__(**keywords)
        self.gate, self.reached, self.wait_at = Path(gate), Path(blocked), wait_at

    def calculate(self, *arguments, **keywords):
        super().calculate(*arguments, **keywords)
        if len(Path(self.calls).read_text().splitlines()) == self.wait_at and not self.reached.exists():
            self.reached.touch()
            while not self.gate.exists():
                time.sleep(0.01)
