"""Python's garbage collector, in processes that run long and hold much.

A collection of everything stops the whole process: for half a second, when a daemon has hundreds of tables. Whatever
such a process has built to last is no garbage, and neither is what is on its way, so both are scanned seldom or never.
"""

import gc

SELDOM = (20_000, 20, 100)


def seldom() -> None:
    """Look for garbage less often than Python does."""
    gc.set_threshold(*SELDOM)


def keep() -> None:
    """Never scan again what there is now."""
    gc.collect()
    gc.freeze()
