"""The command line. Each command has one file: it parses, builds the settings, calls one function, and prints."""
