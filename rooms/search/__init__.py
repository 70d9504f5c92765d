"""Finding messages by their words: what is indexed, in what, and how it is asked."""
