"""Which frames of several trajectories are shown, and how long they are kept."""

from __future__ import annotations

from collections.abc import Sequence

from ase import Atoms

from ase_mlsample.gui.sources import News, Sighting

__all__ = ["Follower", "FrameHistory"]


class FrameHistory:
    """The newest frames, a bounded number of them.

    Parameters
    ----------
    limit : frames kept.

    Raises
    ------
    ValueError
        The limit is below one.
    """

    def __init__(self, limit: int = 200) -> None:
        if limit < 1:
            raise ValueError(f"history must keep at least one frame, got {limit}")
        self.limit = limit
        self.frames: list[Atoms] = []

    def add(self, new: Sequence[Atoms], position: int) -> int:
        """Append frames, and say which one to show.

        Parameters
        ----------
        new : frames, the oldest first.
        position : index of the frame shown so far.

        Returns
        -------
        int
            The newest, if the newest was shown so far; else the same frame as before, or the oldest one left.
        """
        followed = position >= len(self.frames) - 1
        self.frames += new
        dropped = max(0, len(self.frames) - self.limit)
        del self.frames[:dropped]
        return len(self.frames) - 1 if followed else max(0, position - dropped)


class Follower:
    """Stays with one trajectory until it ends, since a picture that jumps between several shows none.

    Attributes
    ----------
    chosen : str or None
        The trajectory that the user wants to see; None leaves the choice to the follower.
    everything : bool
        Take the frames of all trajectories as they come.
    followed : str or None
        The trajectory shown now.
    """

    def __init__(self) -> None:
        self.chosen: str | None = None
        self.everything = False
        self.followed: str | None = None
        self._newest: dict[str, Sighting] = {}

    def pick(self, news: News) -> list[Atoms]:
        """Return the frames to show."""
        self._newest = {name: at for name, at in self._newest.items() if name in news.running}
        self._newest |= {at.name: at for at in news.sightings if not at.ended and at.name in news.running}
        if self.chosen is not None and self.chosen not in news.running:
            self.chosen = None
        if self.everything:
            return [at.atoms for at in news.sightings]
        before = self.followed
        # files of other trajectories may be seen in the look that sees the end of this one
        shown = [
            at for at in news.sightings if at.name == before and (at.ended or self.chosen in (None, before))
        ]
        self.followed = self.chosen or (before if before in news.running else None)
        if self.followed is None and self._newest:
            self.followed = max(self._newest.values(), key=lambda at: at.time).name
        if self.followed is None and not shown and news.sightings:
            shown = [news.sightings[-1]]  # a trajectory that was over between two looks
        if self.followed is not None and self.followed != before:
            shown.append(self._newest[self.followed])
        return [at.atoms for at in shown]
