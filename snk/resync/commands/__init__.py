"""The commands of the re-sync, one file each. A command parses, builds the settings, calls one function, and prints."""
