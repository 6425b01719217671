"""The pure core of the pair: what to read, what to wait for, what to tell. No I/O, no clock."""
