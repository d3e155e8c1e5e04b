"""How good translations are: scores against references, and what their differences are worth."""
