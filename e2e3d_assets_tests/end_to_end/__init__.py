"""The whole pipeline on a tiny real set."""
