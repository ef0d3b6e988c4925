"""One self-contained page about a translation: what was done, what changed, how far to trust it."""
