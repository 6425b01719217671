"""The pure core: values and decisions, no I/O, no clock, nothing from outside the standard library."""
