"""The process's file descriptors: each socket takes one, and where none is left nobody can connect."""

import resource
from contextlib import suppress

MOST = 2**20  # used where the system has no limit


def all_descriptors() -> int:
    """Raise the soft limit to the hard one, and return it: shells give a process 1,024 or 256 descriptors and allow it more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS reports no limit, but has one
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return MOST if soft == resource.RLIM_INFINITY else min(soft, MOST)
