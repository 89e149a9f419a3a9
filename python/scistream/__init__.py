"""SciStream: secure memory-to-memory data streaming between scientific facilities."""

from scistream._core import __version__

__all__ = ["__version__"]
