"""Serves tables over HTTP: pages, frames and digests to read; single records and batches to write."""
