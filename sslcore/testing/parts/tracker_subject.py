"""The tracker under test: it follows a made-up run, in a folder of its own, and offline."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sslcore.testing.parts.spec import TrackerSpec
from sslcore.testing.parts.subject import PartExample, PartSubject
from sslcore.testing.violation import Violation

#: The methods that the engine calls, in the order of a run.
METHODS = ("started", "logged", "evaluated", "drew", "ended")

#: The files of a run when its tracker starts.
_FILES = {"recipe.toml": 'method = "made-up"\n', "metrics.jsonl": '{"step": 1}\n'}
#: The settings of a run, one of each type.
SETTINGS = {"method": "made-up", "loss": "made-up", "loss.temperature": 0.5, "head.dims": [8, 4]}
NUMBERS = {"loss": 2.5, "learning_rate": 0.1}
TABLE = {
    "encoder": {"knn_top1": 0.75, "knn_top1_std": 0.01},
    "random_init": {"knn_top1": 0.5, "knn_top1_std": 0.01},
}
#: How addresses of this machine begin.
_LOOPBACK = ("127.", "::1", "localhost")


@dataclass(frozen=True)
class Life:
    """A made-up run, for a tracker to follow.

    Attributes:
        step: steps that were done before.
        numbers: of each log line.
        table: the evaluation; None for a run that is not evaluated.
        pictures: whether the report has a picture.
        state: how the run ends.
    """

    step: int = 0
    numbers: Sequence[dict[str, float]] = (NUMBERS, NUMBERS)
    table: dict[str, dict[str, float]] | None = None
    pictures: bool = False
    state: str = "finished"

    def calls(self, folder: Path) -> Iterator[tuple[str, tuple[object, ...]]]:
        """Yield the names of the methods that the engine calls, with their arguments."""
        yield "started", (folder, dict(SETTINGS), self.step)
        for number, numbers in enumerate(self.numbers, self.step + 1):
            yield "logged", (number, dict(numbers))
        if self.table is not None:
            yield "evaluated", ({name: dict(each) for name, each in self.table.items()},)
        if self.pictures:
            yield "drew", ("scores", folder / "figures" / "scores.png")
        yield "ended", (self.state,)


class TrackerSubject(PartSubject):
    """A tracker, as the properties see it."""

    spec: TrackerSpec

    def __init__(self, spec: TrackerSpec) -> None:
        super().__init__(spec)
        # One for all runs: a library may keep the folder that it first worked in.
        self._top = tempfile.TemporaryDirectory(prefix="sslcore-check-", ignore_cleanup_errors=True)
        self._runs = 0

    def tracker(self, example: PartExample | None = None) -> Any:
        """Return a new tracker."""
        return self.build({}, example or PartExample())

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Yield the folder of a new, made-up run; the working folder is above it. Stay offline."""
        from PIL import Image

        self._runs += 1
        with (
            chdir(self._top.name),
            patch.dict(os.environ, self.spec.offline),
            _this_machine_alone(),
        ):
            folder = Path(self._top.name).resolve() / f"run-{self._runs}"
            (folder / "figures").mkdir(parents=True)
            Image.new("RGB", (4, 4)).save(folder / "figures" / "scores.png")
            for name, text in _FILES.items():
                (folder / name).write_text(text, encoding="utf-8")
            yield folder

    def live(self, life: Life, folder: Path, example: PartExample | None = None) -> None:
        """Let a new tracker follow a run.

        Raises:
            Refused: it refused settings that were drawn.
            Violation: one of its methods raised an error.
        """
        example = example or PartExample()
        tracker = self.tracker(example)
        code = f"tracker = {self.made(self.arguments({}, example))}"
        for name, arguments in life.calls(folder):
            method: Callable[..., object] | None = getattr(tracker, name, None)
            if method is None:
                continue
            told = ", ".join(map(repr, arguments))
            code += f"\ntracker.{name}({told})"
            self.guarded(lambda called=method, given=arguments: called(*given), code, example)  # type: ignore[misc]


def can_be_made(subject: TrackerSubject) -> str:
    """Its library is installed."""
    with subject.folder():
        try:
            subject.tracker()
        except Violation as error:
            cause = error.__cause__
            if isinstance(cause, ValueError) and isinstance(cause.__cause__, ImportError):
                return str(cause)
            raise
    return ""


@contextmanager
def _this_machine_alone() -> Iterator[None]:
    """Refuse connections to other machines in the body."""
    connect = socket.socket.connect

    def checked(own: socket.socket, address: Any) -> None:
        if own.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(
            _LOOPBACK
        ):
            raise OSError("the checks connect to no other machine (see TrackerSpec.offline)")
        connect(own, address)

    with patch.object(socket.socket, "connect", checked):
        yield
