"""The demo of the hand-off: writes at full speed, faults, and the proof that nothing was lost."""
