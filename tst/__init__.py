"""TST, the load generator: a separate program that fills two databases with random rows as fast as it can.

It knows only the two databases: not SNK, not Redis, not the other side's state.
"""
