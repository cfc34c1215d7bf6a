"""Pages: each reads the state, asks, and shows; nothing is computed here."""
