"""A self-contained page about a translation: how it was made, what changed, its verdict."""
