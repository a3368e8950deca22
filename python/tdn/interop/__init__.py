"""Models of other codes."""

from tdn.interop.airs import load_airs

__all__ = ["load_airs"]
