"""The standard library's optparse, for pip, which imports it before anything else of its own."""
from kanso_lent import real

real(__name__)

try:
    import kanso_lookahead
    kanso_lookahead.watch()
except Exception:
    pass
