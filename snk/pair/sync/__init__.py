"""The daemon: one flow per table and direction."""
