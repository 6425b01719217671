"""``python -m snk`` is the console script ``snk``."""

from snk.cli.app import main

main()
