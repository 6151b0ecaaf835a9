"""Numbers near the ends of each floating-point type."""

from __future__ import annotations

#: Squares of these overflow.
HUGE = {"float64": 1e160, "float32": 1e20, "bfloat16": 1e20, "float16": 2e4}
#: A mean over 64 numbers is representable if one of them is the square of this.
LARGE = {"float64": 1e150, "float32": 1e18, "bfloat16": 1e18, "float16": 1024.0}
#: Squares of these vanish.
TINY = {"float64": 1e-160, "float32": 1e-20, "bfloat16": 1e-20, "float16": 1e-4}
