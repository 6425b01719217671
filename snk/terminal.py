"""Asking a person, or a program in a person's place."""

import sys


def answer(prompt: str) -> str:
    """Ask, and return one line of standard input.

    Raises:
        EOFError: nobody is there to answer.
    """
    print(prompt, end="", flush=True)  # noqa: T201 - this is the terminal
    given = sys.stdin.readline()
    if not sys.stdin.isatty():
        print(given.rstrip("\n"))  # noqa: T201 - so that a log shows what was answered
    if not given:
        raise EOFError
    return given
