"""Serves HTTP and notifies the service manager; independent of what the pages contain."""
