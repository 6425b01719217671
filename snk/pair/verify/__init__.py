"""Proof that both sides hold the same rows: digests in the servers, narrowed down to single rows."""
