"""SNK keeps tables in two PostgreSQL databases equal, in both directions, in real time."""

__version__ = "0.1.0"
