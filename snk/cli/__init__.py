"""The command line: one file per command, each parses, builds settings, calls one function, and prints."""
