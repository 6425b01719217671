"""Batch: a platform that calls consumers until their work is complete; consumers load, reconcile and report."""
