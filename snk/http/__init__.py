"""The shell that serves over HTTP and talks to the service manager, whatever the pages are."""
