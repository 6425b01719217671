"""``snk batch demo``: the platform, consumers and a provider at work on an embedded database, while some die."""
