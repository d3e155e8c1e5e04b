"""Libraries that training and search are compared with, each a program that runs in an environment of its own."""
