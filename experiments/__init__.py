"""The commands a user types; the only part of the project that reads flags, the environment and the clock."""
