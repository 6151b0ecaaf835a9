"""A component that inherits its constructor and forward."""

from mae_parts import PatchDecoder


class Inheriting(PatchDecoder):
    pass
