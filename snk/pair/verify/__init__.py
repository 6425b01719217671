"""Proves that both sides hold the same rows: the servers compute digests, which are narrowed down to single rows."""
