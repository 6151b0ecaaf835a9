"""A component whose constructor and forward are another's."""

from mae_parts import PatchDecoder


class Inheriting(PatchDecoder):
    pass
