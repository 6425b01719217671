"""The demo of the pipeline: a day of minutes, faults of all kinds, and the proof that both databases hold the same."""
