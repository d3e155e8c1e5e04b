"""Drawing derivations at random: which sentences there are, and how often. Everything comes from one `Stream`."""
