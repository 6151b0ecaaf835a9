"""The teacher of a pipeline: its stages, and the signals that they get."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from torch import Tensor, nn

#: What comes before the names of the teacher's signals.
TEACHERS = "teacher_"
#: A teacher sees the large views only (Caron et al. 2021, section 3.1).
_NEVER = "local_views"


class TeacherStages(nn.ModuleDict):
    """The encoder of a teacher and its head, by kind; both without gradient.

    The stages of a frozen teacher are in eval mode and are not registered: they are no weights of
    the pipeline that trains, nor of its checkpoints.

    Args:
        stages: the encoder, and the head where the teacher has one.
        frozen: whether the weights never move.
        without: signals that the teacher does not get.
        shuffle: whether its micro-batches are of shuffled images.
    """

    def __init__(
        self,
        stages: Mapping[str, nn.Module],
        *,
        frozen: bool = False,
        without: Collection[str] = (),
        shuffle: bool = False,
    ) -> None:
        super().__init__()
        self.frozen, self.without, self.shuffle = frozen, frozenset(without), shuffle
        self._held = {}
        for kind, stage in stages.items():
            stage.requires_grad_(False)
            if frozen:
                self._held[kind] = stage.eval()
            else:
                self[kind] = stage

    def __getitem__(self, kind: str) -> nn.Module:
        """Return a stage."""
        return self._held[kind] if kind in self._held else super().__getitem__(kind)

    def __contains__(self, kind: str) -> bool:
        """Whether the teacher has such a stage."""
        return kind in self._held or super().__contains__(kind)

    def stages(self) -> list[nn.Module]:
        """Return the encoder, and the head where the teacher has one."""
        return [*self._held.values(), *self.values()]

    def inputs(self, signals: Mapping[str, Any]) -> dict[str, Any]:
        """Return the signals that the teacher gets.

        Args:
            signals: those of the engine and of the augmentation; `teacher_NAME` is the teacher's
                own `NAME`.
        """
        seen = {
            name: item
            for name, item in signals.items()
            if name != _NEVER and name not in self.without
        }
        own = {
            name.removeprefix(TEACHERS): item
            for name, item in signals.items()
            if name.startswith(TEACHERS)
        }
        return seen | own

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> TeacherStages:
        # What moves the pipeline to a device moves the frozen stages, too.
        for stage in self._held.values():
            stage._apply(fn, recurse)  # noqa: SLF001
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self
