"""What modules share that stand before those of the standard library."""
import importlib
import os
import sys


def real(name):
    """The module of a name that would have been imported; it takes the place of the one that asks."""
    here = os.path.dirname(os.path.abspath(__file__))
    path = sys.path[:]
    sys.path[:] = [p for p in path if os.path.abspath(p) != here]
    sys.modules.pop(name)
    try:
        return importlib.import_module(name)
    finally:
        sys.path[:] = path
