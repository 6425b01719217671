"""TST, the load generator: a program of its own that fills two databases with random rows as fast as it can.

It knows the two databases and nothing else: not SNK, not Redis, not the other side's state.
"""
