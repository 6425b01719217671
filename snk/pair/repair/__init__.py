"""Repairs by hand what the daemon does not: copies missing rows by a plan, settles conflicts, tells a row's story."""
