"""``python -m tst`` is the console script ``tst``."""

from tst.cli import main

main()
