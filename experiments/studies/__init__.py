"""Studies of a trained run: attention, heads, alignment and linguistic phenomena."""
