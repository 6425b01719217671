"""The contenders: each keeps the tables of a pair equal in its own way, or does nothing at all."""
