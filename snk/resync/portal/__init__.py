"""The watch in a browser: which projects are equal, what differs, and which command repairs it. It changes nothing."""
