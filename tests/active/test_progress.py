import io
import json

import pytest
from rich.console import Console

from ase_mlsample.active.progress import Bar, Pace, duration
from ase_mlsample.active.run_directory import EventLog


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_rate_and_what_is_left(clock):
    pace = Pace(30, clock=clock)
    assert pace.per_hour is None
    assert pace.remaining_s is None
    assert str(pace) == ""
    for _ in range(10):
        clock.now += 36.0
        pace.advance()
    assert pace.per_hour == pytest.approx(100.0)
    assert pace.remaining_s == pytest.approx(720.0)
    assert str(pace) == "100/h, 12 min left"


def test_the_recent_past_counts(clock):
    pace = Pace(1000, clock=clock)
    clock.now = 10_000.0
    pace.advance()
    for _ in range(400):
        clock.now += 1.0
        pace.advance()
    assert pace.per_hour == pytest.approx(3600.0)


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "?"), (40, "40 s"), (720, "12 min"), (9000, "2.5 h"), (180_000, "2.1 d")]
)
def test_times_for_people(seconds, text):
    assert duration(seconds) == text


def test_a_log_has_a_line_a_minute(clock, tmp_path):
    log, output = EventLog(tmp_path / "log.jsonl"), io.StringIO()
    console = Console(file=output, width=100)
    with Bar(
        console, "labels", Pace(6, clock=clock), log=lambda **f: log.write("progress", **f), clock=clock
    ) as bar:
        for _ in range(6):
            clock.now += 24.0
            bar.advance(1)
    assert [event["done"] for event in log.events()] == [3, 6]
    assert log.events()[0]["per_hour"] == 150.0
    assert log.events()[0]["remaining_s"] == 72
    assert output.getvalue().splitlines() == [
        "labels: 3 of 6, 150/h, 72 s left", "labels: 6 of 6, 150/h, 0 s left"
    ]  # fmt: skip
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])["event"] == "progress"
