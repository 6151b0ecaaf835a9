"""The data set under test; it is built without the network unless the spec allows it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from sslcore.contract.interface import Interface
from sslcore.contract.reading import Reading
from sslcore.contract.settings import REQUIRED, settings_of
from sslcore.data import Data, Split
from sslcore.data.prepare import prepared
from sslcore.errors import SslcoreError
from sslcore.testing.parts.spec import DatasetSpec
from sslcore.testing.parts.subject import PartExample, PartSubject, Refused
from sslcore.testing.violation import Hung, Violation, said


class DatasetSubject(PartSubject):
    """A data set, as the properties see it."""

    spec: DatasetSpec

    def __init__(self, spec: DatasetSpec) -> None:
        super().__init__(spec)
        # The engine supplies nothing to a data set: its image_size is an ordinary setting.
        self.interface = Interface(settings_of(spec.make))

    def data(self, example: PartExample | None = None) -> Data:
        """Build the data set and return it, its images in one form, as the engine reads them.

        Raises:
            Violation: it raised an error, did not return an `sslcore.Data`, or its images can't be
                brought into one form.
        """
        example = example or PartExample()
        found = self.build({}, example)
        code = self.made(self.arguments({}, example))
        if not isinstance(found, Data):
            raise Violation(f"it returned {type(found).__name__}, expected sslcore.Data", code)
        for name, split in splits_of(found).items():
            if not isinstance(split, Split):
                raise Violation(f"{name} is a {type(split).__name__}, expected sslcore.Split", code)
            if len(split) == 0:
                raise Violation(f"{name} holds no images", code)
        try:
            return prepared(found, Reading(cache="none"))[0]
        except (SslcoreError, OSError, ValueError) as error:
            if example.drawn:
                raise Refused(said(error)) from error
            raise Violation(f"its images have no common form: {said(error)}", code) from error

    def build(self, supplied: Any, example: PartExample) -> Any:
        """Call the function of the data set with the settings of an example."""
        arguments = self.arguments({}, example)
        code = self.made(arguments)
        refused: list[str] = []
        try:
            with _network(self.spec.network, refused):
                return self.limited(lambda: self.spec.make(**arguments), code)
        except (Exception, SystemExit) as error:
            if example.drawn and isinstance(error, (ValueError, OSError, SslcoreError)):
                raise Refused(said(error)) from error
            if refused or _is_of_files(error):
                raise Unavailable(said(error), code) from error
            raise Violation(f"it raised {said(error)}", code) from error

    @cached_property
    def built(self) -> Data:
        """The data set, built once for all properties that only read it."""
        return self.data()

    @property
    def code(self) -> str:
        """Python code that builds it."""
        return f"data = {self.made(self.arguments({}, PartExample()))}"


class Unavailable(Violation):
    """The data set can't be built here, usually since its images are not on this machine."""


def _is_of_files(error: BaseException | None) -> bool:
    """Whether a missing or unreadable file caused an error."""
    while error is not None:
        if isinstance(error, OSError):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def _network(allowed: bool, refused: list[str]) -> Iterator[None]:
    """Refuse and record connections in the body, unless they are allowed."""
    if allowed:
        yield
        return

    def refuse(*arguments: Any, **keywords: Any) -> Any:
        refused.append(str(arguments))
        raise OSError("the checks use no network (network=True allows it)")

    held = socket.socket.connect, socket.getaddrinfo
    socket.socket.connect = refuse  # type: ignore[method-assign]
    socket.getaddrinfo = refuse
    try:
        yield
    finally:
        socket.socket.connect = held[0]  # type: ignore[method-assign]
        socket.getaddrinfo = held[1]


def available(subject: DatasetSubject) -> str:
    """Return why it can't be built here; empty if it can."""
    given = subject.arguments({}, PartExample())
    missing = [
        name
        for name, setting in subject.interface.settings.items()
        if setting.default is REQUIRED and name not in given
    ]
    if missing:
        return f"{', '.join(missing)} must be given: settings={{{missing[0]!r}: …}}"
    try:
        subject.built  # noqa: B018
    except (Unavailable, Hung) as error:
        return f"it can't be built here: {error}"
    return ""


def labelled(subject: DatasetSubject) -> str:
    if reason := available(subject):
        return reason
    splits = splits_of(subject.built).values()
    return "" if any(split.labels is not None for split in splits) else "it has no labels"


def splits_of(data: Data) -> dict[str, Split]:
    found = {"train": data.train, "test": data.test, "probe": data.probe}
    return {name: split for name, split in found.items() if split is not None}
