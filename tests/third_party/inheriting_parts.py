"""A component whose constructor and forward are another's."""

from byol_parts import Predictor


class Inheriting(Predictor):
    pass
