"""The pure core of the pair: what to read, what to wait for, what to report. No I/O, no clock."""
